"""The numbers of the report, counted by hand on a small graph; and what lies beside the graph survives a restore."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from identity.rules import add_rule, list_rules
from tests.cli.conftest import Outcome
from tests.identity.store import Store, name
from warehouse.backup import backup, restore
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

Call = Callable[..., Outcome]


@pytest.fixture
def reported(small: Settings) -> Settings:
    with connect(small) as con:
        con.execute(
            "insert into analytics.identity_splits values "
            "('loyalty_card', '55', 'user_id', 'u9', 'max_component_size', 'more than 3')"
        )
        for day, kind, cause in ((1, "merge", "data"), (1, "merge", "data"), (1, "split", "cut"), (2, "rekey", "data")):
            con.execute(
                "insert into analytics.identity_changes values (?, 'x', 'y', ?, 2, false, ?, null)",
                [datetime(2026, 2, day), kind, cause],
            )
        con.execute("insert into analytics.identity_health values ('max_size', 3, 200, true), ('blocked', 9, 5, false)")
    return small


def test_the_numbers(mailwright: Call, reported: Settings) -> None:
    outcome = mailwright("--target", "prod", "identity", "report", "--json", home=reported.home)
    assert outcome.code == 0, outcome.stderr
    assert "@" not in outcome.stdout
    tables = outcome.document["tables"]
    assert tables["totals"] == [
        {
            "profiles": 6,
            "identifiers": 12,
            "identifiers_per_profile": 2.0,
            "merged_profiles": 3,  # ann, eve, nine
            "merged_share": 0.5,
            "singletons": 3,  # the browser, the card, ten
            "singleton_share": 0.5,
        }
    ]
    assert tables["sizes"] == [
        {"least_size": 1, "greatest_size": 1, "components": 2},
        {"least_size": 2, "greatest_size": 2, "components": 2},
        {"least_size": 4, "greatest_size": 4, "components": 1},
    ]
    assert tables["largest"][0] == {
        "profile_id": "ann",
        "n_bridge": 4,
        "n_identifiers": 5,
        "types": "1 contact_id, 1 customer_id, 1 device_id, 1 email, 1 user_id",
    }
    assert [row["n_bridge"] for row in tables["largest"]] == [4, 2, 2, 1, 1]
    assert tables["quarantine"] == [
        {
            "reason": "over_budget",
            "limit_name": "more than 5 customer_id in 365 days",
            "identifier_type": "email",
            "identifiers": 1,
            "partners": 40,
        }
    ]
    assert tables["quarantined_values"][0]["identifier_value"] == name("email:office@example.org").shown()[6:]
    assert tables["splits"] == [{"limit_kind": "max_component_size", "limit_name": "more than 3", "edges": 1}]
    assert [(row["changed_at"], row["kind"], row["cause"], row["changes"]) for row in tables["changes"]] == [
        ("2026-02-02T00:00:00Z", "rekey", "data", 1),
        ("2026-02-01T00:00:00Z", "merge", "data", 2),
        ("2026-02-01T00:00:00Z", "split", "cut", 1),
    ]
    assert [row["metric"] for row in tables["health"]] == ["blocked", "max_size"]


def test_for_people(mailwright: Call, reported: Settings) -> None:
    outcome = mailwright("--target", "prod", "identity", "report", home=reported.home)
    assert "6 profiles of 12 identifiers in schema analytics: 2.00 each; 50.0% join" in " ".join(outcome.stdout.split())
    assert "office@" not in outcome.stdout
    shown = mailwright("--target", "prod", "identity", "report", "--show-values", home=reported.home)
    assert "email:office@example.org" in shown.stdout


def test_an_empty_graph_has_a_report_too(mailwright: Call, settings: Settings) -> None:
    with connect(settings) as con:
        Store({}, []).write(con)
    outcome = mailwright("--target", "prod", "identity", "report", home=settings.home)
    assert outcome.code == 0, outcome.stderr
    assert "0 profiles" in outcome.stdout


def test_sizes_fall_into_bins(mailwright: Call, settings: Settings) -> None:
    sizes = {"a": 5, "b": 6, "c": 10, "d": 11, "e": 200, "f": 201}
    chains = {key: [f"user_id:{key}{i}" for i in range(size)] for key, size in sizes.items()}
    with connect(settings) as con:
        Store(
            {text: key for key, chain in chains.items() for text in chain},
            [pair for chain in chains.values() for pair in pairwise(chain)],
        ).write(con)
    rows = mailwright("--target", "prod", "identity", "report", "--json", home=settings.home).document["tables"][
        "sizes"
    ]
    assert [(row["least_size"], row["greatest_size"], row["components"]) for row in rows] == [
        (5, 5, 1), (6, 10, 2), (11, 20, 1), (101, 200, 1), (201, None, 1),
    ]  # fmt: skip


def test_no_graph_is_one_message(mailwright: Call, settings: Settings) -> None:
    with connect(settings) as con:
        ensure_state(con, settings)
    outcome = mailwright("--target", "prod", "identity", "report", home=settings.home)
    assert outcome.code == 3
    assert "There is no identity graph yet" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_rules_registry_and_changes_survive_a_restore(reported: Settings, tmp_path: Path) -> None:
    rule = add_rule(reported, "cut", name("customer_id:7"), name("user_id:u1"), "so they say").rule
    with connect(reported) as con:
        con.execute("create table analytics.identity_registry as select 'email' as identifier_type, 'p' as profile_id")
        con.execute("create schema dev_me")
        con.execute("create table dev_me.identity_registry as select 1 as x")
    backup(reported, tmp_path / "backup")
    elsewhere = Settings(home=tmp_path / "elsewhere", target="prod")
    restore(elsewhere, tmp_path / "backup")
    assert list_rules(elsewhere) == [rule]
    with connect(elsewhere) as con:
        ensure_state(con, elsewhere)
        assert con.execute("select * from analytics.identity_registry").fetchall() == [("email", "p")]
        assert con.execute("select count(*) from analytics.identity_changes").fetchall() == [(4,)]
        tables = con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
    assert ("dev_me", "identity_registry") not in tables
    assert ("analytics", "int_identity__edges") not in tables  # the next build makes it
