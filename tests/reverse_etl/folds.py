"""The ledger's own promise: its state is the fold of its attempts, one row per record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def check_folds(rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
    """All that attempts decide is in `ledger.sync_state` as the view has it, which is computed from them alone."""
    names = rows("select column_name from duckdb_columns() where table_name = 'sync_state_from_attempts'")
    columns = ", ".join(name for (name,) in names)
    stored = rows(f"select {columns} from ledger.sync_state order by all")
    assert stored == rows(f"select {columns} from ledger.sync_state_from_attempts order by all")
