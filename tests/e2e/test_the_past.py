"""A build as of a past instant: own schema, nothing later in it, identical when repeated, never synced."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Run
from warehouse.connection import connect
from warehouse.settings import Settings

pytestmark = pytest.mark.e2e

PAST = "2026-01-15"
SCHEMA = "asof_20260115"
AUDIT = {"built_at", "_built_at", "trained_at"}
OWN_CLOCK = {"as_of", "expires_at", "horizon_ends_at", "trained_at", "entered_at", "left_at", "transitioned_at"}
"""Instants that a build sets from its clock: equal to `as_of`, or measured from it. Looked at in the first test."""


def _contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    with connect(settings, read_only=True) as con:
        tables = con.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns() "
            "where schema_name = ? and database_name = current_database() group by all order by 1",
            [SCHEMA],
        ).fetchall()
        contents = {}
        for table, columns in tables:
            listed = ", ".join(f'"{column}"' for column in columns if column not in AUDIT)
            contents[table] = con.execute(f'select {listed} from "{SCHEMA}"."{table}" order by all').fetchall()
        return contents


def test_the_past_is_apart_repeatable_and_never_synced(own_copy: Settings, mailwright: Run) -> None:
    with connect(own_copy, read_only=True) as con:
        production = con.execute("select count(*), max(as_of) from analytics.sync_mailchimp__members").fetchall()
    first = mailwright("--target", "prod", "build", "--as-of", PAST, "--json", home=own_copy.home)
    assert first.code == 0, first.stderr[-3000:]
    assert first.document["schema_name"] == SCHEMA
    one = _contents(own_copy)
    assert len(one) > 60
    assert len(one["fct_web_events"]) > 1_000

    second = mailwright("--target", "prod", "build", "--as-of", PAST, home=own_copy.home)
    assert second.code == 0, second.stderr[-3000:]
    two = _contents(own_copy)
    assert one.keys() == two.keys()
    assert [table for table in one if one[table] != two[table]] == []

    # dbt's own tests ran on each mart; this looks once more, at every instant of every relation
    with connect(own_copy, read_only=True) as con:
        instants = con.execute(
            "select table_name, column_name from duckdb_columns() where schema_name = ? and data_type = 'TIMESTAMP' "
            "and database_name = current_database() and column_name not in ('known_at', 'expires_at', "
            "'recs_expire_at', '_loaded_at', 'loaded_at') and table_name <> 'clock'",
            [SCHEMA],
        ).fetchall()
        assert len(instants) > 40
        later = [
            (table, column)
            for table, column in instants
            if con.execute(f'select max("{column}") > ? from "{SCHEMA}"."{table}"', [PAST]).fetchall()[0][0]
        ]
        assert later == []
        now = con.execute("select count(*), max(as_of) from analytics.sync_mailchimp__members").fetchall()
    assert now == production

    refused = mailwright("--target", "prod", "sync", "--as-of", PAST, "--json", home=own_copy.home)
    assert refused.code == 4
    assert "never" in json.dumps(refused.document)


def test_every_mart_carries_the_test_against_later_rows(built_settings: Settings) -> None:
    manifest = json.loads((built_settings.dbt_target_dir / "manifest.json").read_text(encoding="utf-8"))
    tested = {
        parent
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and "nothing_later_than_as_of" in node["name"]
        for parent in node["depends_on"]["nodes"]
    }
    marts = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["config"]["materialized"] != "view"
        and any(
            column["data_type"] == "timestamp" and name not in OWN_CLOCK for name, column in node["columns"].items()
        )
    ]
    assert len(marts) > 10
    missing = sorted(node["name"] for node in marts if node["unique_id"] not in tested and node["access"] == "public")
    assert missing == []
