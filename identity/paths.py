"""The shortest path between two identifiers: a search from both ends that asks for edges as it meets them.

Among paths of one length: fewest refused edges, then strongest, then oldest (by the sum of first sightings), then by
name. The answer is the same from A to B as from B to A.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from identity.identifiers import Identifier

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_NEVER = datetime(9999, 12, 31)


@dataclass(frozen=True)
class Edge:
    """One row of `int_identity__edges`."""

    left_key: int
    right_key: int
    left: Identifier
    right: Identifier
    strength: int
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    n_seen: int
    sources: tuple[str, ...]
    tier: str
    is_active: bool = True
    refusal: str | None = None
    refusal_detail: str | None = None

    def other(self, key: int) -> int:
        return self.right_key if key == self.left_key else self.left_key

    @property
    def cost(self) -> tuple[int, int, int]:
        """Smaller is better; integers, so that sums of them compare alike in any order."""
        seen = self.first_seen_at or _NEVER
        return (0 if self.is_active else 1, -self.strength, (seen - _EPOCH) // _MICROSECOND)


class Edges(Protocol):
    """Where a search gets its edges from."""

    def pairs(self, keys: Collection[int]) -> Iterable[tuple[int, int]]:
        """Ends of all edges that touch one of `keys`."""
        ...

    def among(self, keys: Collection[int]) -> Iterable[Edge]:
        """All edges with both ends in `keys`."""
        ...


class EdgesAtHand:
    """Edges that were fetched already."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.edges = list(edges)
        self._touching: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for edge in self.edges:
            for key in (edge.left_key, edge.right_key):
                self._touching[key].append((edge.left_key, edge.right_key))

    def pairs(self, keys: Collection[int]) -> Iterable[tuple[int, int]]:
        return [pair for key in keys for pair in self._touching.get(key, ())]

    def among(self, keys: Collection[int]) -> Iterable[Edge]:
        return [edge for edge in self.edges if edge.left_key in keys and edge.right_key in keys]


def shortest_path(edges: Edges, start: int, goal: int) -> list[Edge] | None:
    """Edges from `start` to `goal`; None if there is no path."""
    levels = _levels(edges, start, goal)
    if levels is None:
        return None
    by_level: dict[int, list[Edge]] = defaultdict(list)
    names: dict[int, Identifier] = {}
    for edge in edges.among(levels):
        if abs(levels[edge.left_key] - levels[edge.right_key]) == 1:
            by_level[min(levels[edge.left_key], levels[edge.right_key])].append(edge)
            names |= {edge.left_key: edge.left, edge.right_key: edge.right}
    if start == goal or names[start] <= names[goal]:
        return _best([by_level[level] for level in range(levels[goal])], names, start, goal)
    # read from the end that comes first by name, from whichever end one asks
    return _best([by_level[level] for level in reversed(range(levels[goal]))], names, goal, start)[::-1]


def _best(layers: Iterable[list[Edge]], names: dict[int, Identifier], start: int, goal: int) -> list[Edge]:
    """The best way through the layers of edges between one distance and the next."""
    ways: dict[int, _Way] = {start: _Way((0, 0, 0), (), ())}
    for layer in layers:
        further: dict[int, _Way] = {}
        for edge in layer:
            # an edge has one end in the layer that was reached, and one beyond
            near, far = (edge.left_key, edge.right_key) if edge.left_key in ways else (edge.right_key, edge.left_key)
            way = ways[near].then(edge, names[far])
            if far not in further or way.rank < further[far].rank:
                further[far] = way
        ways = further
    return list(ways[goal].edges)


@dataclass(frozen=True)
class _Way:
    cost: tuple[int, int, int]
    names: tuple[Identifier, ...]
    edges: tuple[Edge, ...]

    @property
    def rank(self) -> tuple[tuple[int, int, int], tuple[Identifier, ...]]:
        return self.cost, self.names

    def then(self, edge: Edge, name: Identifier) -> _Way:
        refused, strength, age = (one + other for one, other in zip(self.cost, edge.cost, strict=True))
        return _Way((refused, strength, age), (*self.names, name), (*self.edges, edge))


def _levels(edges: Edges, start: int, goal: int) -> dict[int, int] | None:
    """Distance from `start` of every node that lies on a shortest path to `goal`."""
    if start == goal:
        return {start: 0}
    seen: tuple[dict[int, int], dict[int, int]] = ({start: 0}, {goal: 0})
    frontiers: list[set[int]] = [{start}, {goal}]
    while True:
        # the smaller side grows: a hub with very many neighbours is left for last
        side = 0 if len(frontiers[0]) <= len(frontiers[1]) else 1
        frontiers[side] = _step(edges, frontiers[side], seen[side])
        if not frontiers[side]:
            return None
        # whole levels are taken, so the first meeting lies on every shortest path
        met = frontiers[side] & seen[1 - side].keys()
        if met:
            break
    distance = max(seen[0].values()) + max(seen[1].values())
    levels = {key: seen[0][key] for key in met}
    for near, from_start in ((seen[0], True), (seen[1], False)):
        layer = met
        while layer:
            depth = near[next(iter(layer))]
            layer = {
                end
                for left, right in edges.pairs(layer)
                for one, end in ((left, right), (right, left))
                if one in layer and near.get(end) == depth - 1
            }
            levels |= {key: near[key] if from_start else distance - near[key] for key in layer}
    return levels


def _step(edges: Edges, frontier: set[int], seen: dict[int, int]) -> set[int]:
    depth = seen[next(iter(frontier))] + 1
    reached = {end for pair in edges.pairs(frontier) for end in pair if end not in seen}
    seen |= dict.fromkeys(reached, depth)
    return reached
