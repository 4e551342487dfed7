"""What explain says of one person, of two people, and of one identifier alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import duckdb
import pytest

from identity.explain import explain_one, explain_pair, explain_profile
from identity.graph import Graph
from tests.cli.conftest import Outcome
from tests.identity.store import Store, name, small_store
from warehouse.errors import ConfigError, DataError
from warehouse.settings import Settings

Call = Callable[..., Outcome]


@pytest.fixture(scope="module")
def graph() -> Iterator[Graph]:
    with duckdb.connect() as con:
        small_store().write(con)
        yield Graph(con, "analytics")


def test_one_person(graph: Graph) -> None:
    found = explain_pair(graph, name("contact_id:c1"), name("user_id:u1"))
    assert found.is_one_person
    assert found.one.profile_id == "ann"
    assert found.path is not None
    assert [(step.one.type, step.other.type) for step in found.path] == [("contact_id", "email"), ("email", "user_id")]
    step = found.to_dict(values=True)["path"][0]
    assert step["from"] == {"type": "contact_id", "value": "c1"}
    assert step["to"] == {"type": "email", "value": "ann@example.org"}
    assert (step["sources"], step["n_seen"], step["strength"], step["tier"]) == (["crm_contact"], 1, 5, "bridge")
    assert found.limits == []


@pytest.mark.parametrize(
    ("one", "other", "limits"),
    [
        ("customer_id:7", "customer_id:8", ["shared"]),  # by the phone, shorter than by the browser
        ("customer_id:8", "user_id:u9", ["quarantined"]),
        ("user_id:u9", "loyalty_card:55", ["max_component_size"]),
        ("user_id:u9", "customer_id:10", ["max_component_size", "cut"]),
        ("phone:+442079460000", "customer_id:7", ["shared"]),
        ("customer_id:7", "customer_id:10", ["shared", "quarantined", "max_component_size", "cut"]),
    ],
)
def test_two_people_and_every_limit_between_them(graph: Graph, one: str, other: str, limits: list[str]) -> None:
    found = explain_pair(graph, name(one), name(other))
    assert not found.is_one_person
    assert [limit.kind for limit in found.limits] == limits
    assert found.path is not None
    back = explain_pair(graph, name(other), name(one))
    assert [limit.kind for limit in back.limits] == limits[::-1]


def test_limits_are_named(graph: Graph) -> None:
    found = explain_pair(graph, name("customer_id:7"), name("customer_id:10"))
    said = [limit.text for limit in found.limits]
    assert said[1] == "an end is quarantined: email: more than 5 customer_id in 365 days"
    assert said[3] == "cut by rule: rule_1"
    assert "phone:sha256:" in said[0]


def test_nothing_between_them() -> None:
    with duckdb.connect() as con:
        Store({"customer_id:1": "a", "customer_id:2": "b"}, []).write(con)
        found = explain_pair(Graph(con, "analytics"), name("customer_id:1"), name("customer_id:2"))
        assert found.path is None
        assert found.to_dict()["path"] is None


def test_nobodys_identifiers_are_not_one_person() -> None:
    """Two identifiers without a profile have the same none."""
    with duckdb.connect() as con:
        Store({"phone:+442079460001": None, "phone:+442079460002": None}, []).write(con)
        found = explain_pair(Graph(con, "analytics"), name("phone:+442079460001"), name("phone:+442079460002"))
        assert not found.is_one_person


def test_a_profile(graph: Graph) -> None:
    found = explain_one(graph, name("email:ann@example.org"))
    assert found.profile_id == "ann"
    assert {node.identifier.type for node in found.nodes} == {
        "customer_id",
        "email",
        "user_id",
        "contact_id",
        "device_id",
    }
    assert len(found.edges) == 5
    assert {(step.one.type, step.other.type, step.limits[0].kind) for step in found.outside} == {
        ("anonymous_id", "user_id", "shared"), ("customer_id", "phone", "shared"),
    }  # fmt: skip
    assert explain_profile(graph, "ann").nodes == found.nodes
    assert "@" not in json.dumps(found.to_dict(), default=str)
    assert "ann@example.org" in json.dumps(found.to_dict(values=True), default=str)


def test_a_quarantined_identifier_alone(graph: Graph) -> None:
    found = explain_one(graph, name("email:office@example.org"))
    assert found.profile_id is None
    assert found.edges == ()
    assert found.n_outside == 2
    quarantine = found.to_dict()["identifiers"][0]["quarantine"]
    assert quarantine == {
        "reason": "over_budget",
        "limit_name": "more than 5 customer_id in 365 days",
        "n_partners": 40,
    }


def test_what_is_not_there_is_said_without_the_address(graph: Graph) -> None:
    with pytest.raises(DataError, match="does not have this identifier") as caught:
        explain_pair(graph, name("customer_id:7"), name("email:nobody@example.org"))
    assert "the second identifier (email:sha256:" in str(caught.value)
    assert "nobody" not in str(caught.value)
    with pytest.raises(ConfigError, match="one and the same"):
        explain_pair(graph, name("customer_id:7"), name("customer_id:7"))
    with pytest.raises(DataError, match="no profile 'x'"):
        explain_profile(graph, "x")
    with pytest.raises(DataError, match="no identity graph") as caught:
        explain_one(Graph(graph.con, "dev_me"), name("customer_id:7"))
    assert caught.value.where == "schema dev_me"


def test_on_the_command_line(mailwright: Call, small: Settings) -> None:
    def call(*args: str) -> Outcome:
        return mailwright("--target", "prod", "identity", "explain", *args, home=small.home)

    shown = call("contact_id:c1", "email:ANN@example.org")
    assert shown.code == 0, shown.stderr
    assert "are one person: profile ann" in shown.stdout
    assert "crm_contact · 2026-01-01 to 2026-01-11, 1 time · strength 5 · bridge" in shown.stdout
    assert "@" not in shown.stdout + shown.stderr
    hashed = next(word for word in shown.stdout.split() if word.startswith("email:sha256:"))
    again = call("contact_id:c1", hashed, "--show-values")
    assert "  email:ann@example.org" in again.stdout
    parted = call("customer_id:7", "customer_id:10")
    assert parted.code == 0
    assert "are not one person" in parted.stdout
    assert "customer_id:7: profile ann" in parted.stdout
    assert "customer_id:10: profile ten" in parted.stdout
    assert "✗ cut by rule: rule_1" in parted.stdout
    profile = call("profile_id:ann", "--json")
    assert [row["type"] for row in profile.document["identifiers"]] == [
        "contact_id", "customer_id", "device_id", "email", "user_id",
    ]  # fmt: skip
    assert "@" not in profile.stdout
    alone = call("email:office@example.org")
    assert "no profile, quarantined (over budget: more than 5 customer_id in 365 days)" in alone.stdout
    for args, code, said in (
        (("customer_id:77",), 3, "does not have this identifier"),
        (("email:ann",), 2, "not an e-mail address"),
        (("profile_id:ann", "customer_id:7"), 2, "explained alone"),
        (("customer_id:7", "--as-of", "2025-01-01"), 3, "no identity graph"),
    ):
        outcome = call(*args)
        assert outcome.code == code
        assert said in outcome.stderr
        assert "Traceback" not in outcome.stderr
