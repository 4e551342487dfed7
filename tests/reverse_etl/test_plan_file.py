"""A plan as a file: what was looked at is what is applied, or nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.plan import Plan
from tests.reverse_etl.world import Person, World
from warehouse.errors import ConfigError, RefusedError

ONE = Person("one@shop.test", "subscribe", ("vip",), {"city": "A"})
OTHER = Person("other@shop.test", "subscribe", ("vip",), {"city": "A"})


def test_a_saved_plan_is_applied_once(world: World, tmp_path: Path) -> None:
    world.desire(ONE)
    made = world.plan()
    file = tmp_path / "plan.json"
    made.save(file)
    assert "shop.test" not in file.read_text()
    assert not list(tmp_path.glob("*.part"))
    assert Plan.load(file) == made
    assert world.sync(plan=Plan.load(file)).created == 1
    with pytest.raises(RefusedError, match="data moved"):
        world.sync(plan=Plan.load(file))


@pytest.mark.parametrize(
    "instead",
    [OTHER, Person(ONE.email, "subscribe", ("vip",), {"city": "B"}), Person(ONE.email, "update_only", ("vip",))],
)
def test_the_same_counts_of_other_people_are_another_plan(world: World, tmp_path: Path, instead: Person) -> None:
    world.desire(ONE)
    made = world.plan()
    made.save(tmp_path / "plan.json")
    world.desire(instead)
    writes = world.twin.writes
    with pytest.raises(RefusedError, match="data moved"):
        world.sync(plan=Plan.load(tmp_path / "plan.json"))
    assert world.twin.writes == writes


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"mailwright_plan": 0}',
        '{"mailwright_plan": 1}',
        '{"mailwright_plan": 1, "created": "x"}',
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Plan.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in caught.value.what


def test_a_changed_number_in_the_file_is_another_plan(world: World, tmp_path: Path) -> None:
    world.desire(ONE)
    file = tmp_path / "plan.json"
    world.plan().save(file)
    body: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**body, "created": 7}))
    with pytest.raises(RefusedError, match="data moved"):
        world.sync(plan=Plan.load(file))


def test_a_place_that_cannot_be_written_is_said(world: World, tmp_path: Path) -> None:
    world.desire(ONE)
    with pytest.raises(ConfigError, match="cannot be written"):
        world.plan().save(tmp_path / "nowhere" / "plan.json")


def test_a_file_that_is_nested_too_deeply(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        Plan.load(file)
