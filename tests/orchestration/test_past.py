"""A past day on the real project: built, tried, and gone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from orchestration.names import KEY_OF_JOB
from orchestration.past import train_as_of
from warehouse.build import open_build, settings_as_of
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings


def left_in(settings: Settings) -> dict[str, list[Any]]:
    """Which schemas and models' files there are, and production's clock, models and predictions."""
    wanted = {
        "schemas": "select schema_name from duckdb_schemas() where database_name = current_database() order by 1",
        "clock": f'from "{settings.schema}".clock',
        "runs": f'select model_version, is_live, decision from "{settings.ml_schema}".model_runs order by 1',
        "predictions": f'from "{settings.ml_schema}".churn_predictions order by profile_id',
    }
    with connect(settings, read_only=True) as con:
        found = {name: con.execute(sql).fetchall() for name, sql in wanted.items()}
    return found | {"files": sorted(settings.artefacts_dir.rglob("*"))}


def test_a_past_day_is_built_and_tried_and_leaves_its_numbers_alone(own_copy: Settings) -> None:
    looked_into = settings_as_of(own_copy, datetime(2026, 6, 30))
    open_build(looked_into, datetime(2026, 6, 30))
    before = left_in(own_copy)
    assert (looked_into.schema,) in before["schemas"]
    told: list[str] = []
    found = train_as_of(own_copy, "2026-06-30", told.append)
    assert left_in(own_copy) == before
    assert {found[f"{name}.status"] for name in KEY_OF_JOB} == {"trained"}
    assert {found[f"{name}.as_of"] for name in KEY_OF_JOB} == {"2026-06-30T00:00:00"}
    assert 0 < found["churn.metrics.brier"] < 0.25
    assert any(line.startswith("churn: validating and fitting") for line in told)


def test_a_past_day_that_fails_leaves_nothing(own_copy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(past: Settings, stage: str, as_of: datetime) -> None:
        open_build(past, as_of)
        raise DataError("a test failed")

    monkeypatch.setattr("warehouse.build.build", build)
    before = left_in(own_copy)
    with pytest.raises(DataError, match="a test failed"):
        train_as_of(own_copy, "2026-05-02", print)
    assert left_in(own_copy) == before
