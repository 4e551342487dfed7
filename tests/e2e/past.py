"""What a build as of a past instant must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tests.e2e.conftest import Run
from warehouse.connection import connect
from warehouse.settings import Settings

AUDIT = {"built_at", "_built_at", "trained_at"}
OWN_CLOCK = {
    "as_of", "as_of_on", "horizon_ends_at", "trained_at", "entered_at", "left_at", "transitioned_at", "registered_at",
    "assigned_at", "assigned_until", "changed_at",
}  # fmt: skip
"""Instants that a build sets from its clock: equal to `as_of`, or measured from it."""
ARRIVALS = {"received_at", "suppressions_weighed_to", "known_at", "known_through", "known_from", "available_at"}
"""When a row came, or the newest of some did: bound by `known_at`, which may be later than `as_of` in production."""
NO_EVENTS = {"expires_at", "until_on", "recs_expire_at", "next_purchase_on", "loaded_at", "_loaded_at"}
"""Instants that lie later rightly: what ends after `as_of`, what is expected, and when a file was read."""

LATER = {
    "consent_events": "occurred_at >= $past",
    "crm_contacts": "updated_at >= $past",
    "email_events": "received_at > $past",
    "newsletter_signups": "submitted_at >= $past",
    "shop_customers": "updated_at >= $past",
    "shop_order_lines": "created_at >= $past",
    "shop_orders": "ordered_at >= $past",
    "shop_products": "updated_at >= $past",
    "web_events": "received_at > $past",
}
"""Per raw table, the rows that nobody could have seen at that instant."""

Columns = dict[str, dict[str, str]]


def show_the_past(settings: Settings, mailwright: Run, past: str, folder: Path) -> Columns:
    """Build `past` twice and try to sync it. Changes the store; returns the past schema's relations.

    Before the second build the later rows are taken out of the raw tables. It equals the first row by row only if
    a build repeats itself and the first used none of those rows, not even in a sum that shows no instant.
    """
    schema = f"asof_{past.replace('-', '')}"
    production = _fingerprints(settings)
    assert len(production) > 50

    first = mailwright("--target", "prod", "build", "--as-of", past, "--json", home=settings.home)
    assert first.code == 0, first.stderr[-3000:]
    assert first.document["schema_name"] == schema
    with connect(settings, read_only=True) as con:
        relations = _relations(con, schema)
        assert _later_instants(con, schema, past, relations) == []
        for name, columns in relations.items():
            con.execute(f"copy (select {_listed(columns)} from {schema}.{name}) to '{folder / name}.parquet'")

    _forget_what_came_later(settings, past)
    second = mailwright("--target", "prod", "build", "--as-of", past, home=settings.home)
    assert second.code == 0, second.stderr[-3000:]
    with connect(settings, read_only=True) as con:
        assert _relations(con, schema) == relations
        assert [name for name in relations if _differs(con, schema, name, relations[name], folder)] == []
    assert _fingerprints(settings) == production

    refused = mailwright("--target", "prod", "sync", "--as-of", past, "--json", home=settings.home)
    assert refused.code == 4
    assert refused.document["error"]["what"] == f"Schema '{schema}' is a look at the past: it is never synced."
    assert refused.stderr.count("it is never synced") == 1
    assert _fingerprints(settings) == production
    return relations


def _relations(con: duckdb.DuckDBPyConnection, schema: str) -> Columns:
    found: Columns = {}
    for table, column, kind in con.execute(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where schema_name = ? and database_name = current_database() order by table_name, column_index",
        [schema],
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(f'"{column}"' for column in columns if column not in AUDIT)


def _later_instants(con: duckdb.DuckDBPyConnection, schema: str, past: str, relations: Columns) -> list[Any]:
    """(relation, column, newest value) of all that lies at or after `past`; arrivals and the clock may be at it."""
    later, looked_at = [], 0
    for name, columns in relations.items():
        for column, kind in columns.items():
            if column in NO_EVENTS or name == "clock" or not (kind.startswith("TIMESTAMP") or kind == "DATE"):
                continue
            sign = ">" if column in OWN_CLOCK | ARRIVALS else ">="
            newest, is_later = con.execute(
                f'select max("{column}"), max("{column}") {sign} ?::timestamp from {schema}.{name}', [past]
            ).fetchall()[0]
            looked_at += newest is not None
            if is_later:
                later.append((name, column, newest))
    assert looked_at > 60
    return later


def _forget_what_came_later(settings: Settings, past: str) -> None:
    with connect(settings, purpose="test") as con:
        # a table of rows that were loaded, and that is not listed, would be kept whole in silence
        loaded = con.execute(
            "select table_name from duckdb_columns() where schema_name = 'raw' and column_name = '_loaded_at' "
            "and database_name = current_database()"
        ).fetchall()
        assert {name for (name,) in loaded} == LATER.keys()
        for name, condition in LATER.items():
            gone = con.execute(f"delete from raw.{name} where {condition}", {"past": past}).fetchall()[0][0]
            left = con.execute(f"select count(*) from raw.{name}").fetchall()[0][0]
            assert gone > 50, name
            assert left > 50, name


def _differs(
    con: duckdb.DuckDBPyConnection, schema: str, name: str, columns: dict[str, str], folder: Path
) -> list[tuple[Any, ...]]:
    """A row that is in one of the two builds only, counted: repeated rows must be repeated as often."""
    now = f"select {_listed(columns)} from {schema}.{name}"
    before = f"select * from '{folder / name}.parquet'"
    return con.execute(f"(({now}) except all ({before})) union all (({before}) except all ({now})) limit 1").fetchall()


def _fingerprints(settings: Settings) -> dict[str, tuple[int, int]]:
    """Per table of production, of its predictions and of the ledger: how many rows, and the sum of their hashes."""
    with connect(settings, read_only=True) as con:
        tables = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where schema_name in ('analytics', 'ml', 'ledger') and database_name = current_database() order by 1"
        ).fetchall()
        return {
            name: con.execute(f"select count(*), sum(hash(one)) from {name} as one").fetchall()[0] for (name,) in tables
        }
