"""dbt's own unit tests, and the whole graph on a warehouse that holds no row at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

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


def test_empty_tables_build_and_offer_nobody(one_place: Callable[[], Path]) -> None:
    """The first day of an installation: every table is there, and none has a row."""
    settings = Settings(home=one_place(), target="prod", lock_timeout_seconds=30)
    ensure_raw_tables(settings)
    pin_clock(settings, datetime(2026, 7, 1))
    pipeline.normalize(settings)
    report = build(settings)
    assert report.status == "succeeded"
    with connect(settings, read_only=True) as con:
        for mart in ("dim_profiles", "profile_features", "segment_memberships", "recommendations"):
            assert con.execute(f"select count(*) from analytics.{mart}").fetchall() == [(0,)], mart
        assert con.execute("select count(*) from analytics.sync_esp__members").fetchall() == [(0,)]


def test_a_failing_test_names_the_table_and_the_columns(own_copy: Settings) -> None:
    with connect(own_copy, purpose="test") as con:
        con.execute("update analytics.dim_profiles set first_seen_at = timestamp '2100-01-01'")
        con.execute("update analytics.identity_registry set registered_at = null where assigned_until is null")
        con.execute(
            "insert into analytics.identity_registry by name select * replace (null as profile_id, null as assigned_at)"
            " from analytics.identity_registry limit 1"
        )
        people, open_rows = con.execute(
            "select (select count(*) from analytics.dim_profiles), (select count(*) from analytics.identity_registry"
            " where registered_at is null)"
        ).fetchall()[0]
    result = run_dbt(own_copy, ["test", "--select", "identity_registry", "dim_profiles", "--exclude", "test_type:unit"])
    messages = {message for _, message in result.failures}
    assert f"dim_profiles: first_seen_at ({people:,} rows)" in messages
    assert f"identity_registry: registered_at ({open_rows:,} rows), profile_id (1 row), assigned_at (1 row)" in messages


def test_a_dbt_that_cannot_start_says_why(settings: Settings) -> None:
    lines: list[str] = []
    result = run_dbt(settings, ["run", "--select", "dim_profiles", "--vars", "{no: [yaml"], on_line=lines.append)
    assert (result.success, result.n_models) == (False, 0)
    assert "--vars" in result.explain()
    assert lines
    result = run_dbt(settings, ["run", "--no-such-option"])
    assert not result.success


def test_an_unsubscribe_at_the_esp_reaches_the_persons_consent(own_copy: Settings) -> None:
    """A pull saw it before the build: from then on it is evidence like any other, with the vendor's spelling."""
    with connect(own_copy, purpose="test") as con:
        profile, email, as_of = con.execute(
            """select c.profile_id, a.email, k.as_of from analytics.dim_consent as c
               inner join analytics.int_consent__address_states as a
                   on a.profile_id = c.profile_id and a.purpose = 'newsletter'
               cross join analytics.clock as k
               where c.purpose = 'newsletter' and c.is_mailable order by c.profile_id, a.email limit 1"""
        ).fetchall()[0]
        before = as_of - timedelta(hours=1)
        con.execute(
            "insert into ledger.remote_suppressions values ('s', 'mailchimp', md5(lower(?)), ?, 'unsubscribe', ?, ?)",
            [email, email.upper(), before, before],
        )
    pipeline.normalize(own_copy)
    names = ["fct_consent", "int_consent__address_states", "dim_consent", "sync_esp__addresses"]
    result = run_dbt(own_copy, ["run", "--select", "stg_esp__suppressions", *names])
    assert result.success, result.explain(20)
    with connect(own_copy, read_only=True) as con:
        verdicts = con.execute(
            "select purpose, state, reason, is_mailable from analytics.dim_consent where profile_id = ? and purpose in "
            "(select purpose from analytics.consent_purposes where is_mailing) order by purpose",
            [profile],
        ).fetchall()
        assert verdicts
        assert {verdict[1:] for verdict in verdicts} == {("suppressed", "unsubscribed_at_esp", False)}
        weighed = con.execute(
            "select is_refused, suppressions_weighed_to from analytics.sync_esp__addresses where email = ?",
            [email],
        ).fetchall()
        assert weighed == [(True, before)]
