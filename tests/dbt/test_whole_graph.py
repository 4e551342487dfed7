"""dbt's own unit tests, and the whole graph on a warehouse that holds no row at all."""

from __future__ import annotations

from datetime import datetime

from cli import pipeline
from ingest.load import ensure_raw_tables
from warehouse.build import build, pin_clock
from warehouse.connection import connect
from warehouse.dbt import run_dbt
from warehouse.settings import Settings


def test_every_dbt_unit_test_passes(own_copy: Settings) -> None:
    result = run_dbt(own_copy, ["test", "--select", "test_type:unit"])
    assert result.success, result.explain(20)
    assert result.n_tests >= 100


def test_empty_tables_build_and_offer_nobody(settings: Settings) -> None:
    """The first day of an installation: every table is there, and none has a row."""
    ensure_raw_tables(settings)
    pin_clock(settings, datetime(2026, 7, 1))
    pipeline.normalize(settings)
    report = build(settings)
    assert report.status == "succeeded"
    with connect(settings, read_only=True) as con:
        for mart in ("dim_profiles", "profile_features", "segment_memberships", "recommendations"):
            assert con.execute(f"select count(*) from analytics.{mart}").fetchall() == [(0,)], mart
        assert con.execute("select count(*) from analytics.sync_mailchimp__members").fetchall() == [(0,)]
