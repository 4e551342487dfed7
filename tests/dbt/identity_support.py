"""Small identity graphs as tables, and a dbt that resolves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from tests.dbt.features_support import dbt
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

START = datetime(2026, 1, 1)

MODELS = (
    "identifier_types", "identifier_parts", "identity_budgets", "blocked_identifiers", "int_identity__fingerprints",
    "int_identity__region",
    "int_identity__identifiers", "int_identity__quarantine", "int_identity__edges", "int_identity__components",
    "int_identity__attachments", "identity_registry", "int_identity__resolved", "int_identity__link_times",
    "int_identity__identifier_profiles", "identity_successions", "identity_splits", "identity_changes",
    "identity_health",
)  # fmt: skip

Node = tuple[str, str]
"""(type, value)"""


@dataclass(frozen=True)
class Seen:
    """Two identifiers seen together; `hour` counts from START."""

    left: Node
    right: Node
    hour: int = 0
    source: str = "crm_contact"
    times: int = 1

    def ends(self) -> tuple[Node, Node]:
        first, second = sorted((self.left, self.right))
        return first, second


def write_graph(
    settings: Settings,
    edges: Iterable[Seen],
    alone: Mapping[Node, int] | None = None,
    *,
    as_of: datetime,
    roles: Iterable[Node] = (),
) -> None:
    """Replace what was observed: edges, and identifiers that were seen alone (with their hour)."""
    observed: dict[tuple[Any, ...], list[Any]] = {}
    sighted: dict[tuple[Any, ...], list[Any]] = {}

    def note(found: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], hour: int, times: int) -> None:
        seen_at = START + timedelta(hours=hour)
        row = found.setdefault(key, [seen_at, seen_at, 0])
        row[0], row[1], row[2] = min(row[0], seen_at), max(row[1], seen_at), row[2] + times

    for edge in edges:
        first, second = edge.ends()
        note(observed, (*first, *second, edge.source), edge.hour, edge.times)
        for node in (first, second):
            note(sighted, (*node, edge.source), edge.hour, edge.times)
    for node, hour in (alone or {}).items():
        note(sighted, (*node, "crm_contact"), hour, 1)
    marked = set(roles)
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        con.execute("create schema if not exists analytics")
        con.execute("create or replace table analytics.clock (as_of timestamp, known_at timestamp)")
        con.execute("insert into analytics.clock values (?, ?)", [as_of, as_of])
        con.execute(
            """create or replace table analytics.int_identity__sightings (identifier_type text, identifier_value text,
               source text, is_role boolean, is_disposable boolean, first_seen_at timestamp, last_seen_at timestamp,
               n_seen bigint)"""
        )
        con.execute(
            """create or replace table analytics.int_identity__observed_edges (left_type text, left_value text,
               right_type text, right_value text, source text, first_seen_at timestamp, last_seen_at timestamp,
               n_seen bigint)"""
        )
        _insert(con, "int_identity__observed_edges", [[*key, *row] for key, row in observed.items()])
        # as macro node_key has it on this engine
        con.execute(
            """create or replace table analytics.int_identity__observed_edges as
               select cast(hash(left_type, left_value) >> 1 as bigint) as left_key,
                   cast(hash(right_type, right_value) >> 1 as bigint) as right_key, *, first_seen_at as available_at
               from analytics.int_identity__observed_edges"""
        )
        _insert(con, "int_identity__sightings", [[*k, k[:2] in marked, False, *row] for k, row in sighted.items()])
        con.execute(
            """create or replace table analytics.int_identity__sightings as
               select cast(hash(identifier_type, identifier_value) >> 1 as bigint) as node_key, *,
                   first_seen_at as available_at
               from analytics.int_identity__sightings"""
        )


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        found = pd.DataFrame(rows)
        con.register("found", found)
        con.execute(f"insert into analytics.{table} select * from found")
        con.unregister("found")


def resolve(settings: Settings, **variables: Any) -> None:
    """Run the models of the graph (and its seeds) on what `write_graph` left."""
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    dbt(settings, "build", *untested, "--select", *MODELS, variables=variables or None)


def profiles(settings: Settings) -> dict[Node, str]:
    """Identifier → profile."""
    return {
        (kind, value): profile
        for kind, value, profile in rows(
            settings,
            "select identifier_type, identifier_value, profile_id from analytics.int_identity__identifier_profiles",
        )
    }


def rows(settings: Settings, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as con:
        return con.execute(sql, list(values)).fetchall()
