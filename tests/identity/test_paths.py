"""The path that explain prints exists, joins the two, is the shortest and the best of the shortest.

Held against oracles that know nothing of how it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import combinations, pairwise
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path as scipy_shortest_path

from identity.explain import Connection, explain_pair
from identity.graph import Graph
from tests.identity.store import START, Store, name

NODES = 6
PEOPLE = [f"customer_id:{node}" for node in range(NODES)]
PAIRS = list(combinations(range(NODES), 2))
an_edge = st.none() | st.tuples(st.integers(1, 2), st.integers(0, 2), st.booleans())
some_edges = st.lists(an_edge, min_size=len(PAIRS), max_size=len(PAIRS)).map(
    lambda rows: {pair: row for pair, row in zip(PAIRS, rows, strict=True) if row is not None}
)
two_nodes = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda pair: pair[0] != pair[1])


@contextmanager
def written(store: Store) -> Iterator[Graph]:
    with duckdb.connect() as con:
        store.write(con)
        yield Graph(con, "analytics")


def rows_of(graph: Graph) -> set[tuple[Any, ...]]:
    return set(
        graph.con.execute(
            "select left_type, left_value, right_type, right_value, is_active from analytics.int_identity__edges"
        ).fetchall()
    )


def distances(pairs: list[tuple[int, int]]) -> np.ndarray:
    ones = np.ones(len(pairs))
    ends = ([one for one, _ in pairs], [other for _, other in pairs])
    return scipy_shortest_path(csr_array((ones, ends), shape=(NODES, NODES)), directed=False, unweighted=True)


def all_paths(pairs: list[tuple[int, int]], start: int, goal: int, length: int) -> list[list[int]]:
    """Every way of `length` edges without a node twice, by trying all."""
    ways = [[start]]
    for _ in range(length):
        ways = [
            [*way, node]
            for way in ways
            for node in range(NODES)
            if node not in way and ((way[-1], node) in pairs or (node, way[-1]) in pairs)
        ]
    return [way for way in ways if way[-1] == goal]


def walk(found: Connection, start: str, goal: str) -> list[str]:
    """The names along the path, after making sure that it is one."""
    assert found.path is not None
    names = [found.path[0].one, *(step.other for step in found.path)]
    assert names[0] == name(start)
    assert names[-1] == name(goal)
    for step, following in pairwise(found.path):
        assert step.other == following.one
    assert all({step.one, step.other} == {step.edge.left, step.edge.right} for step in found.path)
    return [f"{one.type}:{one.value}" for one in names]


def check(graph: Graph, start: int, goal: int, usable: dict[tuple[int, int], tuple[int, int, bool]]) -> None:
    """Against scipy for the length and the existence, against all paths there are for the choice among equals."""
    found = explain_pair(graph, name(PEOPLE[start]), name(PEOPLE[goal]))
    distance = distances(list(usable))[start, goal]
    assert (found.path is None) == np.isinf(distance)
    if found.path is None:
        return
    names = walk(found, PEOPLE[start], PEOPLE[goal])
    assert len(found.path) == distance
    there = rows_of(graph)
    assert all(
        (step.edge.left.type, step.edge.left.value, step.edge.right.type, step.edge.right.value, step.edge.is_active)
        in there
        for step in found.path
    )

    def rank(way: list[int]) -> tuple[Any, ...]:
        edges = [usable[min(pair), max(pair)] for pair in pairwise(way)]
        forwards = way if PEOPLE[start] <= PEOPLE[goal] else way[::-1]
        refused, strength, age = (
            sum(not active for *_, active in edges), -sum(edge[0] for edge in edges), sum(edge[1] for edge in edges)
        )  # fmt: skip
        return refused, strength, age, [PEOPLE[node] for node in forwards]

    best = min(all_paths(list(usable), start, goal, int(distance)), key=rank)
    assert names == [PEOPLE[node] for node in best]
    back = explain_pair(graph, name(PEOPLE[goal]), name(PEOPLE[start]))
    assert walk(back, PEOPLE[goal], PEOPLE[start]) == names[::-1]


def store_of(edges: dict[tuple[int, int], tuple[int, int, bool]], profiles: list[str]) -> Store:
    return Store(
        profiles=dict(zip(PEOPLE, profiles, strict=True)),
        edges=[
            (
                PEOPLE[one],
                PEOPLE[other],
                {
                    "strength": strength,
                    "first_seen_at": START + timedelta(days=day),
                    "is_active": active,
                    "refusal": None if active else "cut",
                    "refusal_detail": None if active else "rule_1",
                },
            )
            for (one, other), (strength, day, active) in edges.items()
        ],
    )


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(some_edges, two_nodes)
def test_within_a_profile_the_path_is_the_best_of_the_shortest(
    edges: dict[tuple[int, int], tuple[int, int, bool]], ends: tuple[int, int]
) -> None:
    """Profiles are the connected components of the active edges, found by scipy: a path iff they are one."""
    active = {pair: row for pair, row in edges.items() if row[2]}
    apart = distances(list(active))
    profiles = [f"p{min(other for other in range(NODES) if apart[node, other] < NODES)}" for node in range(NODES)]
    with written(store_of(edges, profiles)) as graph:
        start, goal = ends
        one_person = explain_pair(graph, name(PEOPLE[start]), name(PEOPLE[goal])).is_one_person
        assert one_person == (apart[start, goal] < NODES)
        if one_person:
            check(graph, start, goal, active)
        else:
            check(graph, start, goal, edges)  # over refused edges


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(some_edges, two_nodes)
@example({(0, 1): (1, 0, True), (0, 2): (1, 0, True), (1, 3): (1, 0, True), (2, 3): (1, 0, False)}, (0, 3))
def test_between_profiles_it_leads_over_any_edges(
    edges: dict[tuple[int, int], tuple[int, int, bool]], ends: tuple[int, int]
) -> None:
    """Everybody alone: each active edge is one that the size limit split."""
    with written(store_of(edges, [f"p{node}" for node in range(NODES)])) as graph:
        start, goal = ends
        check(graph, start, goal, edges)
        found = explain_pair(graph, name(PEOPLE[start]), name(PEOPLE[goal]))
        for step in found.path or ():
            assert [limit.kind for limit in step.limits] == ["max_component_size" if step.edge.is_active else "cut"]


@hypothesis_settings(max_examples=40, deadline=None, derandomize=True)
@given(some_edges, two_nodes, st.sets(st.integers(0, NODES - 1)))
def test_no_path_leads_through_an_attach_identifier(
    edges: dict[tuple[int, int], tuple[int, int, bool]], ends: tuple[int, int], attached: set[int]
) -> None:
    everybody = {pair: (*row[:2], True) for pair, row in edges.items()}
    store = store_of(everybody, ["p"] * NODES)
    store.attach = frozenset(PEOPLE[node] for node in attached)
    start, goal = ends
    carrying = [pair for pair in everybody if all(node in (start, goal) or node not in attached for node in pair)]
    around, through = distances(carrying)[start, goal], distances(list(everybody))[start, goal]
    with written(store) as graph:
        found = explain_pair(graph, name(PEOPLE[start]), name(PEOPLE[goal]))
        # only an attach identifier may hang on by another one
        distance = through if np.isinf(around) and {*ends} & attached else around
        assert (found.path is None) == np.isinf(distance)
        if found.path is not None:
            names = walk(found, PEOPLE[start], PEOPLE[goal])
            assert len(found.path) == distance
            if not np.isinf(around):
                assert not {*names[1:-1]} & store.attach


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ([{"is_active": False, "refusal": "cut", "strength": 9}, {"strength": 9}], [{"strength": 1}, {"strength": 1}]),
        ([{"strength": 4}, {"strength": 4}], [{"strength": 8}, {"strength": 1}]),  # by the sum
        ([{"first_seen_at": START}, {"first_seen_at": START + timedelta(days=2)}], [{}, {}]),
        ([{"first_seen_at": None}, {}], [{"first_seen_at": START + timedelta(days=9)}, {}]),
    ],
    ids=["refused", "strength", "age", "no date"],
)
@pytest.mark.parametrize("better_by_name", ["email:a@x.test", "email:z@x.test"])
def test_ties_go_to_what_was_not_refused_then_strength_then_age(
    worse: list[dict[str, Any]], better: list[dict[str, Any]], better_by_name: str
) -> None:
    other_name = "email:m@x.test"
    with written(diamond(better_by_name, better, other_name, worse)) as graph:
        for ends in (("user_id:1", "user_id:2"), ("user_id:2", "user_id:1")):
            found = explain_pair(graph, *map(name, ends))
            assert walk(found, *ends)[1] == better_by_name


def test_the_last_tie_goes_by_name() -> None:
    for first, second in (("email:a@x.test", "email:b@x.test"), ("email:b@x.test", "email:a@x.test")):
        store = diamond(first, [{}, {}], second, [{}, {}])
        store.edges += [(first, "contact_id:c"), (second, "contact_id:c")]
        store.profiles["contact_id:c"] = "p0"
        with written(store) as graph:
            assert walk(explain_pair(graph, name("user_id:1"), name("user_id:2")), "user_id:1", "user_id:2")[1] == (
                "email:a@x.test"
            )


def diamond(one: str, options: list[dict[str, Any]], other: str, other_options: list[dict[str, Any]]) -> Store:
    """Two ways of two edges from user_id:1 to user_id:2."""
    return Store(
        profiles={"user_id:1": "p1", "user_id:2": "p2", one: "p3", other: "p4"},
        edges=[
            (end, middle, row)
            for middle, rows in ((one, options), (other, other_options))
            for end, row in zip(("user_id:1", "user_id:2"), rows, strict=True)
        ],
    )


def test_a_long_chain_and_a_hub_of_thousands_are_found() -> None:
    chain = [f"user_id:{number:05}" for number in range(300)]
    store = Store(
        profiles=dict.fromkeys(chain, "p") | {"email:hub@example.org": None},
        edges=[*pairwise(chain)],
    )
    with duckdb.connect() as con:
        store.write(con)
        hub = con.execute(
            "select node_key from analytics.int_identity__identifiers where identifier_type = 'email'"
        ).fetchall()[0][0]
        con.execute(
            "insert into analytics.int_identity__edges select ?, 100000 + i, 'email', 'hub@example.org', 'phone', "
            "cast(i as text), 1, timestamp '2026-01-01', timestamp '2026-01-01', 1, 1, 's', 'attach', false, "
            "'quarantined', 'x', null from range(50000) as r(i)",
            [hub],
        )
        con.execute(
            "insert into analytics.int_identity__identifiers select 100000 + i, 'phone', cast(i as text), 'attach', "
            "false, false, timestamp '2026-01-01', timestamp '2026-01-01', null from range(50000) as r(i)"
        )
        graph = Graph(con, "analytics")
        found = explain_pair(graph, name(chain[0]), name(chain[-1]))
        assert walk(found, chain[0], chain[-1]) == chain
        through_hub = explain_pair(graph, name("phone:17"), name("phone:49999"))
        assert walk(through_hub, "phone:17", "phone:49999") == ["phone:17", "email:hub@example.org", "phone:49999"]
        assert explain_pair(graph, name("phone:17"), name(chain[0])).path is None
