"""Why two identifiers are one person, or why they are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from identity.graph import Graph, Node
from identity.identifiers import Identifier, masked
from identity.paths import Edge, EdgesAtHand, shortest_path
from warehouse.errors import ConfigError, DataError

PROFILE = "profile_id"
FEW = 50
"""Edges that lead out of a profile: a quarantined hub has any number of them."""


@dataclass(frozen=True)
class Limit:
    """What kept an edge from joining its ends."""

    kind: str
    """cut, quarantined, max_component_size, shared, or attach where nobody is at either end."""
    detail: str | None = None

    @property
    def text(self) -> str:
        said = {
            "quarantined": "an end is quarantined",
            "cut": "cut by rule",
            "max_component_size": "the size limit of a component keeps it apart at its weakest edges",
            "shared": "an attach identifier that is seen with several people joins none of them",
            "attach": "attach identifiers alone make no person",
        }.get(self.kind, self.kind)
        return f"{said}: {self.detail}" if self.detail else said


@dataclass(frozen=True)
class Step:
    """One edge of a path, in the direction of the path."""

    one: Identifier
    other: Identifier
    edge: Edge
    limits: tuple[Limit, ...] = ()

    def to_dict(self, *, values: bool) -> dict[str, Any]:
        edge = self.edge
        return {
            "from": identifier_dict(self.one, values=values),
            "to": identifier_dict(self.other, values=values),
            "sources": list(edge.sources),
            "first_seen_at": edge.first_seen_at,
            "last_seen_at": edge.last_seen_at,
            "n_seen": edge.n_seen,
            "strength": edge.strength,
            "tier": edge.tier,
            "is_active": edge.is_active,
            "limits": [{"kind": limit.kind, "detail": limit.detail} for limit in self.limits],
        }


@dataclass(frozen=True)
class Connection:
    """The answer about two identifiers."""

    one: Node
    other: Node
    path: tuple[Step, ...] | None
    """Over active edges of their profile if they are one person; else over any edges."""

    @property
    def is_one_person(self) -> bool:
        return self.one.profile_id is not None and self.one.profile_id == self.other.profile_id

    @property
    def limits(self) -> list[Limit]:
        """Everything on the path that keeps the two apart, once each, in the order of the path."""
        return list(dict.fromkeys(limit for step in self.path or () for limit in step.limits))

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        return {
            "one": node_dict(self.one, values=values),
            "other": node_dict(self.other, values=values),
            "is_one_person": self.is_one_person,
            "path": None if self.path is None else [step.to_dict(values=values) for step in self.path],
            "limits": [{"kind": limit.kind, "detail": limit.detail} for limit in self.limits],
        }


@dataclass(frozen=True)
class Profile:
    """The answer about one identifier."""

    asked: Node | None
    profile_id: str | None
    nodes: tuple[Node, ...]
    edges: tuple[Step, ...]
    """Edges that hold the profile together."""
    outside: tuple[Step, ...]
    """The first edges that touch it and join nothing, each with its limits."""
    n_outside: int
    far_profiles: dict[Identifier, str | None] = field(default_factory=dict)
    """Profiles of the ends outside."""

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        return {
            "asked": node_dict(self.asked, values=values) if self.asked else None,
            "profile_id": self.profile_id,
            "identifiers": [node_dict(node, values=values) for node in self.nodes],
            "edges": [step.to_dict(values=values) for step in self.edges],
            "refused_edges": [step.to_dict(values=values) for step in self.outside],
            "n_refused_edges": self.n_outside,
        }


def identifier_dict(identifier: Identifier, *, values: bool) -> dict[str, Any]:
    return {
        "type": identifier.type,
        "value": identifier.value if values else masked(identifier.type, identifier.value),
    }


def node_dict(node: Node, *, values: bool) -> dict[str, Any]:
    return {
        **identifier_dict(node.identifier, values=values),
        "tier": node.tier,
        "profile_id": node.profile_id,
        "linked_at": node.linked_at,
        "first_seen_at": node.first_seen_at,
        "last_seen_at": node.last_seen_at,
        "is_role": node.is_role,
        "is_shared": node.is_shared,
        "quarantine": {
            "reason": node.quarantine_reason,
            "limit_name": node.quarantine_limit,
            "n_partners": node.n_partners,
        }
        if node.quarantine_reason
        else None,
    }


def require(graph: Graph, identifier: Identifier, place: str = "the identifier") -> Node:
    """The identifier's node.

    Raises:
        DataError: the graph does not have it.
    """
    node = graph.find(identifier)
    if node is None:
        raise DataError(
            f"The graph of schema '{graph.schema}' does not have this identifier.",
            where=f"{place} ({identifier.shown()})",
            todo="look at its spelling; what was loaded since the last build comes in with `mailwright build`",
        )
    return node


def explain_pair(graph: Graph, one: Identifier, other: Identifier) -> Connection:
    """The shortest path between two identifiers.

    Raises:
        DataError: one of them is not in the graph. ConfigError: they are the same.
    """
    first, second = require(graph, one, "the first identifier"), require(graph, other, "the second identifier")
    if first.key == second.key:
        raise ConfigError(
            "These are one and the same identifier.",
            where=first.identifier.shown(),
            todo="name another one, or only one to see its profile",
        )
    found = Connection(first, second, None)
    if found.is_one_person:
        nodes = {node.key: node for node in graph.nodes_of([str(first.profile_id)])}
        active = [edge for edge in graph.among(nodes) if edge.is_active]
        path = path_within(active, nodes, first, second)
    else:
        path = shortest_path(graph, first.key, second.key)
        nodes = graph.nodes(_keys(path or ()))
    steps = None if path is None else tuple(_steps(path, first, nodes))
    return Connection(first, second, steps)


def path_within(edges: list[Edge], nodes: dict[int, Node], one: Node, other: Node) -> list[Edge] | None:
    """The shortest path over edges that join.

    An attach identifier joins nobody, so a path leads through none. Only where an end is one itself, and hangs on by
    another attach identifier, any of the edges will do.
    """
    ends = {one.key, other.key}
    carrying = [
        edge for edge in edges if all(key in ends or nodes[key].is_bridge for key in (edge.left_key, edge.right_key))
    ]
    path = shortest_path(EdgesAtHand(carrying), one.key, other.key)
    if path is None and not (one.is_bridge and other.is_bridge):
        path = shortest_path(EdgesAtHand(edges), one.key, other.key)
    return path


def explain_one(graph: Graph, identifier: Identifier) -> Profile:
    """The profile of one identifier.

    Raises:
        DataError: the graph does not have it.
    """
    node = require(graph, identifier)
    nodes = graph.nodes_of([node.profile_id]) if node.profile_id else [node]
    return _profile(graph, node, node.profile_id, nodes)


def explain_profile(graph: Graph, profile_id: str) -> Profile:
    """One profile by its id.

    Raises:
        DataError: there is none.
    """
    nodes = graph.nodes_of([profile_id])
    if not nodes:
        raise DataError(
            f"Schema '{graph.schema}' has no profile '{profile_id}'.",
            todo="`mailwright identity report` shows the largest; a former id is in identity_successions",
        )
    return _profile(graph, None, profile_id, nodes)


def _profile(graph: Graph, asked: Node | None, profile_id: str | None, nodes: list[Node]) -> Profile:
    own = {node.key: node for node in nodes}
    edges = graph.touching(own)
    known = own | graph.nodes(_keys(edges) - own.keys())
    steps = [Step(edge.left, edge.right, edge, _limits(edge, known)) for edge in edges]
    inside = [step for step in steps if profile_id is not None and not step.limits and step.edge.is_active]
    outside = [step for step in steps if step not in inside]
    far = {node.identifier: node.profile_id for node in known.values() if node.key not in own}
    return Profile(asked, profile_id, tuple(nodes), tuple(inside), tuple(outside[:FEW]), len(outside), far)


def _keys(edges: Iterable[Edge]) -> set[int]:
    return {key for edge in edges for key in (edge.left_key, edge.right_key)}


def _steps(path: Iterable[Edge], start: Node, nodes: dict[int, Node]) -> Iterable[Step]:
    key = start.key
    for edge in path:
        after = edge.other(key)
        yield Step(nodes[key].identifier, nodes[after].identifier, edge, _limits(edge, nodes))
        key = after


def _limits(edge: Edge, nodes: dict[int, Node]) -> tuple[Limit, ...]:
    """Why the edge does not make one person of its ends; empty if it does."""
    ends = [nodes[edge.left_key], nodes[edge.right_key]]
    if not edge.is_active:
        return (Limit(edge.refusal or "refused", edge.refusal_detail),)
    if ends[0].profile_id is not None and ends[0].profile_id == ends[1].profile_id:
        return ()
    if edge.tier == "bridge":
        return (Limit("max_component_size"),)
    shared = [node.identifier.shown() for node in ends if node.is_shared]
    return (Limit("shared", ", ".join(shared)) if shared else Limit("attach"),)


def seen(first: datetime | None, last: datetime | None) -> str:
    """`2026-01-02 to 2026-05-01`."""
    days = [f"{instant:%Y-%m-%d}" for instant in (first, last) if instant]
    return " to ".join(dict.fromkeys(days)) or "no date"
