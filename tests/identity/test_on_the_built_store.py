"""Explain and rules on the graph that dbt builds: what they say is what the models do."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest

from identity.explain import explain_pair, explain_profile
from identity.graph import Graph
from identity.identifiers import TYPES, Identifier
from identity.rules import add_rule
from warehouse.build import open_build
from warehouse.connection import connect
from warehouse.dbt import run_dbt
from warehouse.settings import PROJECT_DIR, Settings

KEPT_APART = {"max_component_size": "max_component_size", "cut": "cut", "quarantined": "quarantined"}


@pytest.fixture
def graph(built_settings: Settings) -> Iterator[Graph]:
    with connect(built_settings, read_only=True) as con:
        yield Graph(con, built_settings.schema)


def test_the_types_are_those_of_the_seed() -> None:
    path = PROJECT_DIR / "dbt_project" / "seeds" / "identifier_types.csv"
    with path.open(encoding="utf-8") as file:
        assert {row["identifier_type"] for row in csv.DictReader(file)} == {*TYPES}


def test_everything_in_a_profile_is_explained(graph: Graph) -> None:
    """The largest profiles, and some as they come: from the first identifier a path leads to each other one."""
    rows = graph.rows(
        "select profile_id from {schema}.int_identity__identifier_profiles group by profile_id having count(*) > 1 "
        "order by count(*) > 8 desc, profile_id limit 30"
    )
    pairs = 0
    for row in rows:
        nodes = explain_profile(graph, row["profile_id"]).nodes
        tiers = {node.identifier: node.tier for node in nodes}
        for node in nodes[1:]:
            found = explain_pair(graph, nodes[0].identifier, node.identifier)
            assert found.is_one_person
            assert found.path, (nodes[0].identifier, node.identifier)
            between = {step.other for step in found.path[:-1]}
            if nodes[0].tier == node.tier == "bridge":
                assert {tiers[identifier] for identifier in between} <= {"bridge"}
            pairs += 1
    assert pairs > 100


def test_every_edge_that_joins_nobody_names_the_limit_of_the_models(graph: Graph) -> None:
    rows = graph.rows(
        "select * from (select *, row_number() over (partition by limit_kind, limit_name order by left_type, "
        "left_value, right_type, right_value) as place from {schema}.identity_splits) as s where place <= 5 "
        "order by limit_kind, limit_name, place"
    )
    assert {"quarantined", "shared"} <= {row["limit_kind"] for row in rows}
    for row in rows:
        left = Identifier(row["left_type"], row["left_value"])
        right = Identifier(row["right_type"], row["right_value"])
        found = explain_pair(graph, left, right)
        assert not found.is_one_person
        assert found.path is not None
        assert len(found.path) == 1
        (limit,) = found.limits
        assert KEPT_APART.get(limit.kind, "shared") == row["limit_kind"]
        if row["limit_kind"] in {"quarantined", "cut"}:
            assert limit.detail == row["limit_name"]


def test_a_cut_does_what_it_said(own_copy: Settings) -> None:
    """Rules on edges of the largest profiles, then the models once more: who was said to hang together does."""
    with connect(own_copy, read_only=True) as con:
        graph = Graph(con, own_copy.schema)
        rows = graph.rows(
            "select p.profile_id from {schema}.int_identity__identifier_profiles as p group by p.profile_id "
            "order by count(*) desc, p.profile_id limit 12"
        )
        profiles = [explain_profile(graph, row["profile_id"]) for row in rows]
    said: dict[tuple[Identifier, Identifier], bool] = {}
    for number, profile in enumerate(profiles):
        bridges = [step.edge for step in profile.edges if step.edge.tier == "bridge"]
        edge = bridges[number % len(bridges)]
        added = add_rule(own_copy, "cut", edge.left, edge.right, "to see what happens")
        assert added.outlook is not None
        said[edge.left, edge.right] = added.outlook.path is not None
    one, other = (next(node.identifier for node in profile.nodes if node.is_bridge) for profile in profiles[:2])
    linked = add_rule(own_copy, "link", one, other, "to see what happens")
    assert linked.outlook is not None
    said[one, other] = linked.outlook.path is not None
    assert set(said.values()) == {True, False}

    open_build(own_copy)
    result = run_dbt(
        own_copy, ["build", "--select", "path:models/identity", "--exclude-resource-type", "test", "unit_test"]
    )
    assert result.success, result.explain()
    with connect(own_copy, read_only=True) as con:
        graph = Graph(con, own_copy.schema)
        assert {pair: explain_pair(graph, *pair).is_one_person for pair in said} == said
