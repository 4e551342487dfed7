"""A build as of a past instant: own schema, nothing later in it, identical when repeated, never synced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Run
from tests.e2e.past import ARRIVALS, NO_EVENTS, OWN_CLOCK, show_the_past
from warehouse.connection import connect
from warehouse.settings import Settings

pytestmark = pytest.mark.e2e

PAST = "2026-01-15"


def test_the_past_is_apart_repeatable_and_never_synced(own_copy: Settings, mailwright: Run, tmp_path: Path) -> None:
    relations = show_the_past(own_copy, mailwright, PAST, tmp_path)
    assert len(relations) > 60
    with connect(own_copy, read_only=True) as con:
        assert con.execute("select count(*) > 1000 from asof_20260115.fct_web_events").fetchall() == [(True,)]


def test_every_mart_carries_the_test_against_later_rows(built_settings: Settings) -> None:
    manifest = json.loads((built_settings.dbt_target_dir / "manifest.json").read_text(encoding="utf-8"))
    tested = {
        (parent, node["column_name"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and "nothing_later_than_as_of" in node["name"]
        for parent in node["depends_on"]["nodes"]
    }
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
