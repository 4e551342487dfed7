"""Reads the tables of the identity graph of one schema, and of them only what is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from identity.identifiers import HASH_LENGTH, Identifier
from identity.paths import Edge
from warehouse.errors import DataError

_EDGE = """
    select
        e.left_key, e.right_key, e.left_type, e.left_value, e.right_type, e.right_value, e.strength, e.first_seen_at,
        e.last_seen_at, e.n_seen, e.sources, e.tier, e.is_active, e.refusal, e.refusal_detail
    from {schema}.int_identity__edges as e"""
_NODE = """
    select
        i.node_key, i.identifier_type, i.identifier_value, i.tier, i.is_role, i.first_seen_at,
        i.last_seen_at, p.profile_id, p.linked_at, coalesce(c.component_key, a.component_key),
        coalesce(a.is_shared, false), q.reason, q.limit_name, q.n_partners
    from {schema}.int_identity__identifiers as i
    left join {schema}.int_identity__identifier_profiles as p
        on i.identifier_type = p.identifier_type and i.identifier_value = p.identifier_value
    left join {schema}.int_identity__components as c on i.node_key = c.node_key
    left join {schema}.int_identity__attachments as a on i.node_key = a.node_key
    left join {schema}.int_identity__quarantine as q
        on i.identifier_type = q.identifier_type and i.identifier_value = q.identifier_value"""


@dataclass(frozen=True)
class Node:
    """One identifier and where the newest build put it."""

    key: int
    identifier: Identifier
    tier: str
    is_role: bool
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    profile_id: str | None
    linked_at: datetime | None
    component_key: int | None
    is_shared: bool
    quarantine_reason: str | None
    quarantine_limit: str | None
    n_partners: int | None

    @property
    def is_bridge(self) -> bool:
        return self.tier == "bridge"


class Graph:
    """The graph of one schema; also a source of edges for `identity.paths`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, schema: str) -> None:
        self.con = con
        self.schema = schema

    @contextmanager
    def _built(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise DataError(
                f"There is no identity graph yet, or one of another version: {str(error).splitlines()[0]}",
                where=f"schema {self.schema}",
                todo="run `mailwright build`, or name the target that was built (`--target prod`)",
            ) from None

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query in which `{schema}` stands for the quoted schema."""
        with self._built():
            cursor = self.con.execute(sql.format(schema=f'"{self.schema}"'), list(values))
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def find(self, identifier: Identifier) -> Node | None:
        """The identifier's node; an address may be given as its hash."""
        if identifier.digest is None:
            found = self._nodes("i.identifier_value = ?", identifier.type, identifier.value)
        else:
            found = self._nodes(
                f"left(sha256(i.identifier_value), {HASH_LENGTH}) = ?", identifier.type, identifier.digest
            )
        if len(found) > 1:
            raise DataError(
                f"The hash stands for {len(found)} identifiers.",
                where=identifier.shown(),
                todo="write the value itself",
            )
        return found[0] if found else None

    def _nodes(self, condition: str, *values: Any) -> list[Node]:
        with self._built():
            rows = self.con.execute(
                f"{self._sql(_NODE)} where i.identifier_type = ? and {condition} "
                "order by i.identifier_type, i.identifier_value",
                list(values),
            ).fetchall()
        return [_node(row) for row in rows]

    def nodes(self, keys: Collection[int]) -> dict[int, Node]:
        with self._built():
            rows = self.con.execute(
                f"{self._sql(_NODE)} where i.node_key in (select unnest(?::bigint[]))", [sorted(keys)]
            ).fetchall()
        return {row[0]: _node(row) for row in rows}

    def nodes_of(self, profile_ids: Collection[str]) -> list[Node]:
        """All identifiers of some profiles, oldest first."""
        with self._built():
            rows = self.con.execute(
                f"{self._sql(_NODE)} where p.profile_id in (select unnest(?::text[])) "
                "order by i.first_seen_at nulls last, i.identifier_type, i.identifier_value",
                [sorted(profile_ids)],
            ).fetchall()
        return [_node(row) for row in rows]

    def pairs(self, keys: Collection[int]) -> Iterable[tuple[int, int]]:
        with self._built():
            return self.con.execute(
                self._sql(
                    "with wanted as (select unnest(?::bigint[]) as node_key) "
                    "select left_key, right_key from {schema}.int_identity__edges "
                    "where left_key in (select node_key from wanted) or right_key in (select node_key from wanted)"
                ),
                [list(keys)],
            ).fetchall()

    def among(self, keys: Collection[int]) -> list[Edge]:
        return self._edges("e.left_key in (select node_key from wanted) and e.right_key in", keys)

    def touching(self, keys: Collection[int]) -> list[Edge]:
        """All edges with an end in `keys`."""
        return self._edges("e.left_key in (select node_key from wanted) or e.right_key in", keys)

    def edge(self, one: Node, other: Node) -> Edge | None:
        found = self.among({one.key, other.key})
        return found[0] if found else None

    def _edges(self, condition: str, keys: Collection[int]) -> list[Edge]:
        with self._built():
            rows = self.con.execute(
                f"with wanted as (select unnest(?::bigint[]) as node_key) {self._sql(_EDGE)} "
                f"where {condition} (select node_key from wanted) "
                "order by e.left_type, e.left_value, e.right_type, e.right_value",
                [sorted(keys)],
            ).fetchall()
        return [_edge(row) for row in rows]

    def _sql(self, text: str) -> str:
        return text.format(schema=f'"{self.schema}"')


def _edge(row: tuple[Any, ...]) -> Edge:
    left_key, right_key, left_type, left_value, right_type, right_value, strength, first, last, n_seen, *rest = row
    sources, tier, is_active, refusal, detail = rest
    return Edge(
        left_key, right_key, Identifier(left_type, left_value), Identifier(right_type, right_value), int(strength),
        first, last, int(n_seen), tuple(part.strip() for part in (sources or "").split(",") if part.strip()), tier,
        bool(is_active), refusal, detail,
    )  # fmt: skip


def _node(row: tuple[Any, ...]) -> Node:
    key, kind, value, *rest = row
    return Node(key, Identifier(kind, value), *rest)
