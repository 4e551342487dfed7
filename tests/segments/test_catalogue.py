"""What conditions may name is there, with the type that the contracts of the models give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dbt import features_support as support
from tests.segments.inline import compile_inline


@pytest.fixture(scope="module")
def catalogue(one_place: Callable[[], Path]) -> dict[str, Any]:
    settings = support.new_settings(one_place())
    support.write(settings, {})
    names = ("person_relations", "segment_facts", "segment_events", "segment_sums")
    text = f"tojson({{{', '.join(f'{name!r}: {name}()' for name in names)}}})"
    found = json.loads(compile_inline(settings, text))
    manifest = json.loads((support.target_of(settings) / "manifest.json").read_text(encoding="utf-8"))
    found["contracts"] = {
        node["name"]: {name: kind(column["data_type"]) for name, column in node["columns"].items()}
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    return found


def kind(data_type: str | None) -> str:
    text = (data_type or "").lower()
    if text in ("text", "string", "varchar"):
        return "text"
    return text if text in ("date", "timestamp", "boolean") else "number"


def test_columns_of_people(catalogue: dict[str, Any]) -> None:
    for relation, columns in catalogue["person_relations"].items():
        contract = catalogue["contracts"][relation]
        assert {name: contract.get(name) for name in columns} == columns, relation


def test_columns_of_events(catalogue: dict[str, Any]) -> None:
    for fact in catalogue["segment_facts"].values():
        contract = catalogue["contracts"][fact["relation"]]
        others = {name: catalogue["contracts"][model] for name, (model, _) in fact.get("others", {}).items()}
        found = {name: others.get(name, contract).get(name) for name in fact["columns"]}
        assert found == fact["columns"], fact["relation"]
        assert {fact["at"], fact["on"], "profile_id", *fact["tells"]} <= set(contract)


def test_what_is_counted_already(catalogue: dict[str, Any]) -> None:
    daily, features = catalogue["contracts"]["profile_daily"], catalogue["contracts"]["profile_features"]
    counted = [event for event in catalogue["segment_events"].values() if event.get("feature") or event.get("daily")]
    assert len(counted) >= 8
    for event in counted:
        assert event.get("daily", "n_orders") in daily
        if "feature" in event:
            assert {f"{event['feature']}_{window}" for window in ("7d", "30d", "90d", "365d", "lifetime")} <= set(
                features
            )
    for name in catalogue["segment_sums"].values():
        assert f"{name}_90d" in features
