"""Permanent state: tables that no rebuild drops (loads, builds, checks, ledger, model registry).

Their DDL is `warehouse/ddl/*.sql`: portable, idempotent, one file per owner. `{ml_schema}` stands for the schema of
model runs and predictions of the target at hand.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from warehouse.settings import Settings

DDL_DIR = Path(__file__).parent / "ddl"


def ddl_statements(ml_schema: str) -> list[str]:
    """All statements of `warehouse/ddl`, in file order."""
    statements: list[str] = []
    for file in sorted(DDL_DIR.glob("*.sql")):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")]
        text = "\n".join(lines).replace("{ml_schema}", ml_schema)
        statements += [part.strip() for part in text.split(";") if part.strip()]
    return statements


COLUMNS_SINCE = (("segment_membership_history", "reason text"),)
"""Columns that a history got after its first version; dbt cannot add them, since its hooks write to the same table."""


def ensure_state(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Create what is missing of the permanent tables; cheap when nothing is."""
    for statement in ddl_statements(settings.ml_schema):
        con.execute(statement)
    for table, column in COLUMNS_SINCE:
        con.execute(f'alter table if exists "{settings.schema}"."{table}" add column if not exists {column}')
