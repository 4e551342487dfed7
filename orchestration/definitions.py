"""What `dagster` loads: the definitions of the installation that the environment names (MAILWRIGHT_*)."""

from __future__ import annotations

from orchestration.build import build_definitions
from warehouse.settings import load_settings

defs = build_definitions(load_settings())
