"""Conventions and layering of the dbt project, held over its manifest."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.dbt import project
from tests.e2e.past import ARRIVALS, NO_EVENTS, OWN_CLOCK


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The parsed project."""
    return project.parse_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="session")
def models(manifest: dict[str, Any]) -> list[project.Model]:
    """Its models."""
    return project.models_of(manifest)


def test_every_model_has_a_yaml_of_its_name(models: list[project.Model]) -> None:
    assert project.without_yaml(models) == []


def test_every_contract_is_enforced_in_types_that_every_engine_reads(models: list[project.Model]) -> None:
    assert project.without_contract(models) == []


def test_every_description_states_the_grain(models: list[project.Model]) -> None:
    assert project.without_grain(models) == []


def test_only_staging_reads_raw_tables_and_each_reads_one(models: list[project.Model]) -> None:
    assert project.wrong_readers(models) == []


def test_every_row_number_has_a_tie_break(models: list[project.Model]) -> None:
    assert project.without_tie_break(models) == []


def test_no_sql_of_one_engine_and_no_wall_clock_outside_cross_db(models: list[project.Model]) -> None:
    assert project.engine_specific(models) == []


def test_models_end_in_their_final_step(models: list[project.Model]) -> None:
    assert project.without_final(models) == []


def test_every_model_has_a_group_with_an_owner_and_an_access(
    manifest: dict[str, Any], models: list[project.Model]
) -> None:
    owners = {group["name"]: group["owner"].get("email") for group in manifest["groups"].values()}
    assert [m.name for m in models if not m.group or not owners.get(m.group)] == []
    assert [m.name for m in models if m.access not in {"public", "protected", "private"}] == []


def test_the_models_below_the_training_jobs_carry_the_tag(models: list[project.Model]) -> None:
    """`build --exclude tag:after_ml` must never need a prediction."""
    tagged = {m.name for m in models if "after_ml" in m.tags}
    by_name = {m.name: m for m in models}

    @cache
    def needs_ml(name: str) -> bool:
        model = by_name[name]
        return any(s.startswith("ml.") for s in model.sources) or any(needs_ml(r) for r in model.refs if r in by_name)

    assert [m.name for m in models if needs_ml(m.name) and m.name not in tagged] == []


def test_every_mart_proves_that_it_holds_nothing_later_than_the_clock(
    manifest: dict[str, Any], models: list[project.Model]
) -> None:
    """A column that says when something happened carries the test `nothing_later_than_as_of`."""
    tested = project.columns_of_tests(manifest, "nothing_later_than_as_of")
    happened = {
        "occurred_at", "ordered_at", "returned_at", "occurred_on", "ordered_on", "activity_on", "first_seen_at",
        "last_seen_at", "linked_at", "signed_up_at", "decided_at", "updated_at", "stated_at", "submitted_at",
    }  # fmt: skip
    missing = [
        f"{m.name}.{column}"
        for m in models
        for column in m.columns
        if column in happened and (f"model.mailwright.{m.name}", column) not in tested
    ]
    assert missing == []


def test_what_is_declared_never_null_is_held_to_it(manifest: dict[str, Any], models: list[project.Model]) -> None:
    """A contract's `not_null` binds tables alone: views and what is made incrementally carry the test `never_null`."""
    unbound = [
        f"{m.name}.{name}"
        for m in models
        for name, column in m.columns.items()
        if column["constraints"] and (m.materialized != "table" or not m.is_contracted)
    ]
    assert unbound == []
    columns = {(f"model.mailwright.{m.name}", name) for m in models for name in m.columns}
    tested = {column for column in project.columns_of_tests(manifest, "never_null") if column[0].startswith("model.")}
    assert len(tested) > 50
    assert sorted(tested - columns) == []


def test_unit_tests_have_names_that_postgres_can_hold(manifest: dict[str, Any]) -> None:
    """A unit test becomes a relation of its own name: 63 bytes at most."""
    names = [node["name"] for node in manifest["unit_tests"].values()]
    assert len(names) == len(set(names))
    assert [name for name in names if len(name.encode()) > 63] == []


def test_every_model_with_logic_has_a_unit_test(manifest: dict[str, Any], models: list[project.Model]) -> None:
    covered = {node["model"] for node in manifest["unit_tests"].values()}
    own = {"staging", "identity", "profiles", "products", "orders", "web", "email", "consent"}
    assert [m.name for m in models if m.folder in own and m.name not in covered] == []


def test_parsing_warns_of_nothing(manifest: dict[str, Any]) -> None:
    assert [line for line in manifest["stdout"].splitlines() if "[WARNING]" in line or "eprecat" in line] == []


def test_every_mart_carries_the_test_against_later_rows(manifest: dict[str, Any]) -> None:
    tested = project.columns_of_tests(manifest, "nothing_later_than_as_of")
    exempt = OWN_CLOCK | ARRIVALS | NO_EVENTS
    instants = {
        (node["unique_id"], name)
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["access"] == "public" and node["config"]["materialized"] != "view"
        for name, column in node["columns"].items()
        if column["data_type"] in {"timestamp", "date"} and name not in exempt
    }
    assert len({model for model, _ in instants}) > 10
    assert sorted(instants - tested) == []
