"""SQL that macros write, compiled by dbt against the project's graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from segments.compile import inline_text
from tests.dbt import features_support as support
from warehouse.settings import Settings


def compile_inline(settings: Settings, expression: str, variables: Mapping[str, Any] | None = None) -> str:
    """What a Jinja expression becomes in a model that may read everything."""
    text = inline_text(settings.dbt_project_dir, expression)
    support.dbt(settings, "compile", "--inline", text, variables=variables)
    results = json.loads((support.target_of(settings, variables) / "run_results.json").read_text(encoding="utf-8"))
    return results["results"][0]["compiled_code"]
