"""Runs of the hourly job on a small store: what stops them, what interrupts them, and that the next one converges."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import dagster as dg
import pytest

from ingest.withdraw import withdraw
from orchestration.build import build_definitions
from orchestration.home import dagster_environment, open_instance
from tests.orchestration.conftest import Store
from tests.orchestration.mini import AS_OF
from warehouse.settings import PROJECT_DIR

ENDED_WHILE_AN_EVENT_IS_HANDLED = """
import os, signal
from dagster._utils.interrupts import capture_interrupts
from orchestration.run import run_job
from warehouse.settings import load_settings

def end(entry):
    event = entry.dagster_event
    if event and event.event_type_value == "ASSET_MATERIALIZATION" and event.step_key == "dbt_before_ml":
        os.kill(os.getpid(), signal.SIGTERM)

with capture_interrupts():
    run_job(load_settings(), "segments_refresh", end)
"""


def statuses(store: Store) -> list[str]:
    """Of the builds, newest first."""
    return [row[0] for row in store.query("select status from ops.builds order by started_at desc, build_id desc")]


def add_contact(store: Store, contact_id: str) -> str:
    """Land a file with one more contact; returns her address."""
    store.land("crm_contacts", f"select * replace ('{contact_id}' as contact_id) from {{raw}} limit 1", contact_id)
    return f"p{contact_id}@shop.example"


def test_a_new_file_reaches_the_esp_and_nothing_else_is_written(store: Store) -> None:
    people = store.query("select count(*) from analytics.sync_esp__members")[0][0]
    confirmed = store.query("select count(*) from ledger.sync_state where confirmed_hash is not null")[0][0]
    assert confirmed >= people > 20
    address = add_contact(store, "new-1")
    report = store.run()
    assert report.success, report.explain()
    assert store.twin.status(address) == "subscribed"
    assert report.metadata is not None
    assert report.metadata["raw/crm_contacts"]["new_files"] == 1
    assert set(report.metadata["raw/identifier_normalized"]) == {"new_identifiers", "invalid", "disposable"}
    sync = report.metadata["sync/mailchimp"]
    assert (sync["created"], sync["updated"], sync["is_dry_run"]) == (1, 0, False)
    assert store.settings.snapshot_path.exists()
    # the pinned clock held in both runs, though neither was told of it
    assert store.query("select distinct strftime(as_of, '%Y-%m-%d') from ops.builds") == [(AS_OF,)]
    members = "analytics.sync_esp__members"
    assert store.query(f"select distinct strftime(as_of, '%Y-%m-%d') from {members}") == [(AS_OF,)]


def test_a_bad_load_stops_before_the_models_and_the_sync(store: Store) -> None:
    builds, writes = statuses(store), store.twin.writes
    bad = store.land("shop_order_lines", "select * replace (-5.0 as unit_price) from {raw}")
    report = store.run()
    assert not report.success
    assert [step for step, _ in report.failures] == ["expect_raw"]
    assert "unit_price" in report.explain()
    assert statuses(store) == builds
    assert store.twin.writes == writes

    newest = "select max_by(load_id, loaded_at) from ops.loads where table_name = 'shop_order_lines'"
    withdraw(store.settings, store.query(newest)[0][0])
    bad.unlink()
    report = store.run()
    assert report.success, report.explain()
    assert store.twin.writes == writes


def test_a_failing_dbt_test_stops_the_sync_and_is_named(store: Store) -> None:
    writes = store.twin.writes
    project = store.settings.dbt_project_dir
    model = project / "models" / "orders" / "fct_order_lines.sql"
    sql = model.read_text()
    model.write_text("select cast(null as text) as order_id\n")
    try:
        report = store.run()
    finally:
        model.write_text(sql)
    assert not report.success
    assert "not_null_fct_order_lines_order_id" in report.explain()
    assert statuses(store)[0] == "failed"
    assert store.twin.writes == writes


def test_a_part_built_by_hand_is_recorded_and_keeps_the_sync_shut(store: Store) -> None:
    job = build_definitions(store.settings).resolve_implicit_global_asset_job_def()
    with open_instance(store.settings) as instance:
        part = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("fct_order_lines")])
        assert part.success
        assert statuses(store)[0] == "partial"
        sync = [dg.AssetKey(["sync", "mailchimp"])]
        shut = job.execute_in_process(instance=instance, asset_selection=sync, raise_on_error=False)
    assert not shut.success


def test_two_runs_started_at_once_both_finish(store: Store) -> None:
    address = add_contact(store, "new-2")
    both = [store.start(), store.start()]
    output = [process.communicate(timeout=500)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert statuses(store)[:2] == ["succeeded", "succeeded"]
    assert store.twin.status(address) == "subscribed"


@pytest.mark.parametrize("failpoint", ["build.streaming:5", "sync.sent_unanswered"])
def test_after_a_kill_the_next_run_starts_unaided_and_converges(store: Store, failpoint: str) -> None:
    """In mid-write, dbt outlives the run that started it, with the file in its hands: the next run waits for it."""
    address = add_contact(store, "new-3")
    process = store.start(MAILWRIGHT_FAILPOINT=failpoint)
    output = process.communicate(timeout=500)[0]
    assert process.returncode == -signal.SIGKILL, output

    report = store.run()
    assert report.success, report.explain()
    assert store.twin.status(address) == "subscribed"
    assert statuses(store)[0] == "succeeded"
    assert store.query("select count(*) from ledger.sync_state where is_doubtful") == [(0,)]
    with open_instance(store.settings) as instance:
        runs = {record.dagster_run.run_id: record.dagster_run.status for record in instance.get_run_records()}
        assert runs[report.run_id] is dg.DagsterRunStatus.SUCCESS
        assert list(runs.values()).count(dg.DagsterRunStatus.FAILURE) == 1
        assert dg.DagsterRunStatus.STARTED not in runs.values()
        assert not instance.event_log_storage.get_concurrency_run_ids()


def test_a_run_that_is_ended_takes_its_dbt_with_it(store: Store) -> None:
    """Also where Dagster, and not the op, has the word at that moment."""
    run = subprocess.Popen(
        [sys.executable, "-c", ENDED_WHILE_AN_EVENT_IS_HANDLED],
        cwd=PROJECT_DIR,
        env={**os.environ, **dagster_environment(store.settings), **store.esp_environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "DagsterExecutionInterruptedError" in run.communicate(timeout=500)[1]
    message = "select status, message from ops.builds order by started_at desc, build_id desc limit 1"
    assert store.query(message) == [("failed", "dbt: interrupted")]
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pgid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    assert [args for pgid, args in rows if pgid == str(run.pid) and "/dbt " in args] == []
