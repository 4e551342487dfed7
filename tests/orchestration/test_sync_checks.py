"""The checks of a sync, on a real run against a twin: what each of them finds, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

import expectations.gate
import orchestration.sync_checks
from ingest.load import ensure_raw_tables
from orchestration.alerts import Alert
from orchestration.assets.sync import sync_definitions
from orchestration.jobs import SEGMENTS_REFRESH, jobs_of, own_schedules, schedules_of
from orchestration.names import api_pool
from orchestration.resources import resources
from orchestration.sync_checks import audit_result, health_results, sync_checks
from reverse_etl.audit import AuditReport
from reverse_etl.health import Rejection, SyncHealth
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import API_KEY, Person, TwinServer, World, open_gate, small_declaration
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, RetriableError
from warehouse.settings import Settings

GOOD = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(5)]
FAKE = Person("fake@shop.invalid", "subscribe", (), {"city": "A"})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    settings = Settings(home=tmp_path / "home", target="prod", syncs="none", lock_timeout_seconds=30)
    monkeypatch.setattr(expectations.gate, "assert_checked", open_gate)
    with TwinServer(tmp_path / "twin.sqlite") as twin:
        for name, value in (("API_KEY", API_KEY), ("LIST_ID", DEFAULT_LIST), ("BASE_URL", twin.url)):
            monkeypatch.setenv(f"MAILCHIMP_{name}", value)
        small_declaration(settings)
        yield World(settings, twin, sync_name="small")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """Alerts that were sent."""
    alerts: list[Alert] = []

    def send(alert: Alert, **_: Any) -> bool:
        alerts.append(alert)
        return True

    monkeypatch.setattr(orchestration.sync_checks, "send_alert", send)
    return alerts


def run(world: World) -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """The sync and its checks: what the materialization says, and the evaluations by name."""
    syncs = [a for a in sync_definitions(world.settings) if dg.AssetKey(["sync", "small"]) in a.keys]
    definitions = dg.Definitions(
        assets=syncs,
        asset_checks=sync_checks(world.settings),
        resources=resources(world.settings),
        executor=dg.in_process_executor,
    )
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process()
    [materialized] = result.get_asset_materialization_events()
    metadata = materialized.step_materialization_data.materialization.metadata
    found = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    return {name: value.value for name, value in metadata.items()}, found


def test_all_is_well(world: World, told: list[Alert]) -> None:
    world.desire(*GOOD)
    metadata, checks = run(world)
    assert (metadata["created"], metadata["entering"]) == (5, 5)
    assert {name: one.passed for name, one in checks.items()} == dict.fromkeys(
        ("all_confirmed", "rejected_share", "suppression_lag", "audit_drift"), True
    )
    assert checks["all_confirmed"].metadata["confirmed"].value == 10
    assert checks["audit_drift"].metadata["checked"].value == 5
    assert told == []


def test_what_was_turned_away_is_told_without_anybody_s_address(world: World, told: list[Alert]) -> None:
    world.desire(*GOOD, FAKE)
    _, checks = run(world)
    rejected = checks["rejected_share"]
    assert (rejected.passed, rejected.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert rejected.description == "9.1% rejected, 1.0% are allowed"
    why = str(rejected.metadata["why"].value)
    assert "| 1 | member | data |" in why
    assert "looks fake" in why
    assert "shop.invalid" not in why
    [alert] = told
    assert "the job sync_small needs a look" in alert.text
    assert "rejected_share: 9.1% rejected" in alert.text


def test_what_somebody_changed_there_is_drift(world: World, told: list[Alert]) -> None:
    world.desire(*GOOD)
    run(world)
    world.twin.put("p0@shop.test", "subscribed", MW_CITY="typed over", FNAME="there")
    _, checks = run(world)
    assert checks["audit_drift"].description == "1 of 5 people are not as confirmed: field MW_CITY (1)"
    assert "typed over" not in str(checks["audit_drift"].metadata)
    assert [alert.steps[0][0] for alert in told] == ["sync small, audit_drift"]


def test_outside_of_production_nothing_is_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = world.settings.model_copy(update={"target": "dev"})
    world.desire(*GOOD, schema=trial.schema)
    monkeypatch.delenv("MAILCHIMP_API_KEY")
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(["sync", "small"])], asset_checks=sync_checks(trial), resources=resources(trial)
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    evaluations = job.execute_in_process().get_asset_check_evaluations()
    assert {one.metadata["note"].value for one in evaluations} == {"not production: nothing was sent"}
    assert len(evaluations) == 4


def test_a_webhook_that_does_not_answer_fails_no_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bool:
        raise RetriableError("The alert webhook does not answer.")

    monkeypatch.setattr(orchestration.sync_checks, "send_alert", fail)
    world.desire(*GOOD, FAKE)
    assert not run(world)[1]["rejected_share"].passed


def test_what_people_did_comes_back_after_a_sync_that_asks_for_it(world: World) -> None:
    small_declaration(world.settings, engagement=True)
    ensure_raw_tables(world.settings)
    world.desire(*GOOD)
    world.sync()
    simulated = {"id": "c1", "segment": None, "seed": 1}
    httpx.post(world.twin.url.removesuffix("/3.0") + "/__twin__/campaign", json=simulated).raise_for_status()
    keys = {dg.AssetKey(["sync", "small"]), dg.AssetKey(["engagement", "small"])}
    assets = [asset for asset in sync_definitions(world.settings) if asset.keys & keys]
    definitions = dg.Definitions(assets=assets, resources=resources(world.settings), executor=dg.in_process_executor)
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process()
    assert result.success
    events = result.asset_materializations_for_node("engagement__small")
    assert events[0].metadata["n_new"].value > 0
    found = world.rows("select count(*) from raw.email_events")[0][0]
    assert found == events[0].metadata["n_new"].value


def _health(**changes: Any) -> SyncHealth:
    base: dict[str, Any] = {
        "sync_name": "small", "destination": "d", "last_status": "succeeded", "last_finished_at": utcnow(),
        "records": {"confirmed": 99}, "open_withdrawals": 0, "rejections": (), "unweighed": 0,
        "oldest_unweighed_at": None,
    }  # fmt: skip
    return SyncHealth(**{**base, **changes})


@pytest.mark.parametrize(
    ("changes", "check", "description"),
    [
        ({"last_status": "stopped"}, "all_confirmed", "the newest run stopped"),
        ({"last_status": None}, "all_confirmed", "the newest run was none"),
        (
            {"records": {"confirmed": 9, "in_doubt": 1, "accepted": 2, "sent": 3, "skipped": 7}},
            "all_confirmed",
            "of 6 records it is not known how they ended: the next run settles them",
        ),
        ({"open_withdrawals": 2}, "rejected_share", "2 ends of subscriptions are not confirmed"),
        (
            {"records": {"confirmed": 90, "rejected": 10}, "rejections": (Rejection("member", "data", "bad", 10),)},
            "rejected_share",
            "10.0% rejected, 1.0% are allowed",
        ),
        (
            {"unweighed": 3, "oldest_unweighed_at": timedelta(hours=49)},
            "suppression_lag",
            "3 ended subscriptions wait for a build, the first for 49 hours",
        ),
    ],
)
def test_each_trouble_fails_its_check_alone(
    settings: Settings, changes: dict[str, Any], check: str, description: str
) -> None:
    # ago: from now, not from when the tests were collected
    now = {name: utcnow() - value if isinstance(value, timedelta) else value for name, value in changes.items()}
    results = health_results(small_declaration(settings), _health(**now))
    assert {r.check_name: r.description for r in results if not r.passed} == {check: description}
    assert all(r.passed for r in health_results(small_declaration(settings), _health()))


def test_shares_are_judged_by_what_the_sync_declares(settings: Settings) -> None:
    lax = small_declaration(settings, checks={"max_share_rejected": 0.2, "max_share_drifted": 0.5, "audit_sample": 0})
    assert all(r.passed for r in health_results(lax, _health(records={"confirmed": 90, "rejected": 10})))
    report = AuditReport("a", "small", "d", 10, 10, 4, 0, {"missing": 4}, True)
    assert audit_result(lax, report).passed
    assert not audit_result(small_declaration(settings), report).passed
    small_declaration(settings, checks={"audit_sample": 0})
    mine = settings.model_copy(update={"syncs": "none"})
    names = {key.name for definition in sync_checks(mine) for key in definition.check_keys}
    assert names == {"all_confirmed", "rejected_share", "suppression_lag"}


def test_a_withdrawal_that_is_not_confirmed_is_seen_in_the_ledger(world: World) -> None:
    from reverse_etl.health import sync_health

    world.desire(*GOOD)
    world.sync()
    with connect(world.settings, purpose="test") as con:
        destination = world.destination().key
        key = con.execute("select min(record_key) from ledger.sync_state where object = 'member'").fetchall()[0][0]
        con.execute(
            """insert into ledger.sync_attempts by name
               select * replace (999 as attempt_number, 'lower' as operation, 'rejected' as outcome)
               from ledger.sync_attempts where record_key = ? limit 1""",
            [key],
        )
        con.execute(
            "insert into ledger.remote_suppressions values ('1', ?, 'h', 'e', 'unsubscribe', now(), now())",
            [destination],
        )
        health = sync_health(con, "analytics", "small", destination)
    assert (health.last_status, health.open_withdrawals, health.unweighed) == ("succeeded", 1, 1)
    assert health.records == {"confirmed": 10}


def test_a_sync_with_a_schedule_runs_by_itself_alone(settings: Settings) -> None:
    small_declaration(settings, schedule="30 5 * * *", account="MAILCHIMP_UK")
    schedules = own_schedules(settings)
    assert schedules == {"small": "30 5 * * *"}
    assert api_pool("mailchimp", "MAILCHIMP_UK") == "mailchimp_uk_api"
    found = {one.name: (one.job_name, one.cron_schedule) for one in schedules_of(schedules)}
    assert found["sync_small_schedule"] == ("sync_small", "30 5 * * *")
    assert all(one.default_status is dg.DefaultScheduleStatus.STOPPED for one in schedules_of(schedules))
    jobs = jobs_of(schedules)
    specs = [dg.AssetSpec(["sync", "small"]), dg.AssetSpec(["sync", "mailchimp"]), dg.AssetSpec("model")]
    specs.append(dg.AssetSpec(["engagement", "small"], deps=[["sync", "small"]]))
    made = dg.multi_asset(specs=specs, name="everything")(lambda: None)
    graph = dg.Definitions(assets=[made]).resolve_asset_graph()
    selected = {job.name: {key.to_user_string() for key in job.selection.resolve(graph)} for job in jobs}
    assert selected[SEGMENTS_REFRESH] == {"sync/mailchimp", "model"}
    assert selected["sync_small"] == {"sync/small", "engagement/small"}
    with pytest.raises(ConfigError, match="`schedule: 99 99 99 99 99` is no cron expression"):
        schedules_of({"small": "99 99 99 99 99"})
