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


COLUMNS_SINCE = (
    ("segment_membership_history", "reason text"),
    ("int_identity__identifiers", "available_at timestamp"),
    ("int_identity__edges", "available_at timestamp"),
)
"""Columns that a kept table got after its first version. dbt cannot add them: its hooks write to the same table."""

MADE_ANEW = ("stg_web__events", "identifier_daily")
"""Tables that were made anew by every build once and are kept up now; one from before (without made_by) goes."""


def _drop_index_of_state(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """`ledger.sync_state` had a primary key once (ADR 23), which DuckDB takes from no table: it is made anew."""
    if not con.execute(
        "select 1 from duckdb_constraints() where database_name = current_database() and schema_name = 'ledger' "
        "and table_name = 'sync_state' and constraint_type = 'PRIMARY KEY'"
    ).fetchall():
        return
    con.execute("begin")
    con.execute("create temp table kept_state as select * from ledger.sync_state; drop table ledger.sync_state")
    for statement in ddl_statements(settings.ml_schema):
        con.execute(statement)
    # a column of somebody's own stays
    con.execute(
        "select 'alter table ledger.sync_state add column \"' || column_name || '\" ' || data_type "
        "from duckdb_columns() where table_name = 'kept_state' and column_name not in "
        "(select column_name from duckdb_columns() where database_name = current_database() "
        "and schema_name = 'ledger' and table_name = 'sync_state')"
    )
    for (statement,) in con.fetchall():
        con.execute(statement)
    con.execute("insert into ledger.sync_state by name select * from kept_state; drop table kept_state")
    con.execute("commit")


def ensure_state(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Create what is missing of the permanent tables; cheap when nothing is."""
    for statement in ddl_statements(settings.ml_schema):
        con.execute(statement)
    _drop_index_of_state(con, settings)
    for table, column in COLUMNS_SINCE:
        con.execute(f'alter table if exists "{settings.schema}"."{table}" add column if not exists {column}')
    old = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "and list_contains(?, table_name) and table_name not in (select table_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = ? and column_name = 'made_by')",
        [settings.schema, list(MADE_ANEW), settings.schema],
    ).fetchall()
    for (table,) in old:
        con.execute(f'drop table "{settings.schema}"."{table}"')
