"""A hand-written graph in a warehouse file of its own, and the command line on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.conftest import Outcome, mailwright  # noqa: F401
from tests.identity.store import small_store
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

Call = Callable[..., Outcome]


@pytest.fixture
def small(settings: Settings) -> Settings:
    """`small_store`, in production's schema."""
    with connect(settings) as con:
        ensure_state(con, settings)
        small_store().write(con)
    return settings
