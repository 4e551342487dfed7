"""What the feedback says: as checks, and as a request to train again."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from ml_jobs import registry
from ml_jobs.feedback.watch import uplifts, watch
from ml_jobs.report import JobReport
from orchestration.assets.ml import ml_definitions
from orchestration.feedback_checks import decay_result, drift_result, exposure_result, feedback_checks, uplift_result
from orchestration.jobs import SCORE, TAGS, TRAIN, schedules_of
from orchestration.names import EXPOSURE_KEY, JOBS_WITH_OUTCOMES, KEY_OF_JOB, OUTCOMES_KEY, UPLIFT_KEY
from orchestration.past import train_as_of_job
from orchestration.plots import model_plots
from orchestration.sensors import decay_sensor
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

DAY = datetime(2025, 6, 2)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With the registry and the marts, all of them empty."""
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        con.execute(f'create schema if not exists "{settings.schema}"')
        con.execute(f'set schema = "{settings.schema}"')
        con.execute(
            "create table model_outcomes (job text, model_version text, as_of_on date, metric text, n bigint, "
            "value double, back_test double, is_decayed boolean)"
        )
        con.execute(
            "create table recommendation_exposure (exposed_by text, n_products bigint, n_offered bigint, "
            "top_share double, best_sellers_share double, gini double, is_concentrated boolean)"
        )
        con.execute(
            "create table recommendation_uplift (model_version text, as_of_on date, measure text, n_treated bigint, "
            "n_held_out bigint, uplift double, uplift_low double, uplift_high double, is_harmful boolean)"
        )
    return settings


def write(settings: Settings, sql: str, *values: object) -> None:
    with connect(settings, purpose="test") as con:
        con.execute(sql.format(ml=settings.ml_schema, schema=settings.schema), list(values))


def drifted(settings: Settings, as_of: datetime, value: float, job: str = "churn") -> None:
    """A scoring by c-2, one feature of which differs by `value`."""
    day = (as_of - timedelta(microseconds=1)).date()
    for kind, name, one in (("feature", "recency_days", value), ("coverage", "people_scored", 0.0)):
        write(
            settings, "insert into {ml}.drift values (?, 'c-2', ?, ?, ?, ?, ?, 0.2, 500, 490, ?, null)",
            job, day, as_of, kind, name, one, one > 0.2,
        )  # fmt: skip


def came_true(settings: Settings, version: str, value: float, *, is_decayed: bool, on: str = "2025-03-01") -> None:
    write(
        settings, "insert into {schema}.model_outcomes values ('churn', ?, ?, 'brier', 400, ?, 0.1, ?)",
        version, on, value, is_decayed,
    )  # fmt: skip


def trained(settings: Settings, as_of: datetime, *, is_live: bool = True, artefact: str | None = "00") -> None:
    write(
        settings,
        "insert into {ml}.model_runs "
        "(model_version, job, as_of, trained_at, params, metrics, n_train, n_test, is_live, artefact_sha256) "
        "values (?, 'churn', ?, ?, '{{}}', '{{}}', 1, 1, ?, ?)",
        f"c-{as_of}", as_of, as_of, is_live, artefact,
    )  # fmt: skip


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tick(settings: Settings, instance: dg.DagsterInstance) -> Any:
    return decay_sensor(settings).evaluate_tick(dg.build_sensor_context(instance=instance))


def test_drift_asks_for_the_training_of_that_job_under_one_name_a_day(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    drifted(settings, DAY, 0.1)
    assert not tick(settings, instance).run_requests
    drifted(settings, DAY + timedelta(days=1), 0.35)
    first, again = tick(settings, instance), tick(settings, instance)
    (request,) = first.run_requests
    assert request.run_key == again.run_requests[0].run_key == "churn:2025-06-02"
    assert request.asset_selection == [dg.AssetKey(["ml", "churn"])]
    assert request.tags["mailwright/why"] == "recency_days 0.35 (0.20 at most)"
    drifted(settings, DAY + timedelta(days=2), 0.35)
    assert tick(settings, instance).run_requests[0].run_key == "churn:2025-06-03"
    drifted(settings, DAY + timedelta(days=3), 0.1)
    assert not tick(settings, instance).run_requests, "the newest day alone is looked at"


def test_a_day_that_was_learnt_from_asks_for_nothing(settings: Settings, instance: dg.DagsterInstance) -> None:
    drifted(settings, DAY, 0.35)
    trained(settings, DAY - timedelta(days=1))
    assert tick(settings, instance).run_requests
    trained(settings, DAY)
    assert not tick(settings, instance).run_requests
    assert not drift_result(watch(settings, ["churn"])[0]).passed, "it is told all the same"


@pytest.mark.parametrize("artefact", ["00", None], ids=["stayed aside", "refused"])
def test_a_training_that_put_no_model_live_is_the_answer_for_a_week(
    settings: Settings, instance: dg.DagsterInstance, artefact: str | None
) -> None:
    """What scores drifts on: without a rest there would be a full training each day, for ever."""
    trained(settings, DAY, is_live=False, artefact=artefact)
    for days, n_requests in ((1, 0), (6, 0), (7, 1)):
        drifted(settings, DAY + timedelta(days=days), 0.35)
        assert len(tick(settings, instance).run_requests) == n_requests, days
    trained(settings, DAY + timedelta(days=7), is_live=True, artefact="00")
    drifted(settings, DAY + timedelta(days=8), 0.35)
    assert tick(settings, instance).run_requests, "a model of another day drifts"


def test_only_a_model_that_still_scores_is_trained_again(settings: Settings, instance: dg.DagsterInstance) -> None:
    drifted(settings, DAY, 0.0)
    came_true(settings, "c-1", 0.2, is_decayed=True)
    assert not tick(settings, instance).run_requests
    assert not decay_result(watch(settings, ["churn"])[0]).passed
    came_true(settings, "c-2", 0.2, is_decayed=True, on="2025-03-02")
    (request,) = tick(settings, instance).run_requests
    assert "brier 0.2000 on what came after 2025-03-02 (400 people), 0.1000" in request.tags["mailwright/why"]
    came_true(settings, "c-2", 0.1, is_decayed=False, on="2025-03-03")
    assert not tick(settings, instance).run_requests


def test_without_a_warehouse_nothing_is_asked_for(tmp_path: Any, instance: dg.DagsterInstance) -> None:
    result = tick(Settings(home=tmp_path / "none", target="prod"), instance)
    assert not result.run_requests
    assert result.skip_message


def test_it_starts_stopped(settings: Settings) -> None:
    assert decay_sensor(settings).default_status is dg.DefaultSensorStatus.STOPPED


def images(plots: dict[str, str]) -> set[str]:
    """Names of the plots, each of which is a PNG inside Markdown."""
    for text in plots.values():
        found = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", text)
        assert found, text[:80]
        assert base64.b64decode(found[1]).startswith(b"\x89PNG")
    return set(plots)


def test_a_model_is_shown_by_what_there_is_of_it(settings: Settings) -> None:
    assert images(model_plots(settings, "churn", "c-2")) == set()
    bins = (registry.CalibrationBin(1, 10, 0.2, 0.1), registry.CalibrationBin(2, 20, 0.7, 0.8))
    for version, is_live in (("c-1", True), ("c-2", False)):
        run = registry.ModelRun(version, "churn", DAY, DAY, {}, {"brier": 0.1}, "00", 1, 1, is_live=is_live)
        registry.record_run(settings, run, bins)
    assert images(model_plots(settings, "churn", "c-2")) == {"history", "calibration"}
    write(
        settings,
        "insert into {ml}.prediction_log values ('churn', 'c-1', '2025-06-01', '2025-06-02', 'a', 90, '', 1, 0.5)",
    )
    assert images(model_plots(settings, "churn", "c-3")) == {"history", "scores"}
    assert images(model_plots(settings, "recommendations", "r-1")) == set()


def test_a_plot_of_scores_is_of_one_horizon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, horizon, rank, value in (
        ("2025-06-01", 30, 1, 5.0), ("2025-06-01", 90, 1, 15.0), ("2025-06-01", 30, 2, 1.0), ("2025-05-31", 30, 1, 7.0)
    ):  # fmt: skip
        write(
            settings, "insert into {ml}.prediction_log values ('lifetime_value', 'l-1', ?, ?, 'a', ?, '', ?, ?)",
            day, day, horizon, rank, value,
        )  # fmt: skip
    drawn: list[list[float]] = []
    monkeypatch.setattr("matplotlib.axes.Axes.hist", lambda _, values, **__: drawn.append(values.tolist()))
    assert images(model_plots(settings, "lifetime_value", "l-1")) == {"scores"}
    assert drawn == [[5.0]]


def test_a_past_day_is_a_partition_in_a_schema_of_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str]] = []
    monkeypatch.setattr("ingest.normalize.normalize_identifiers", lambda one: done.append(("normalize", one.schema)))
    monkeypatch.setattr("warehouse.build.build", lambda one, *stage: done.append(("build", f"{one.schema} {stage}")))

    def train(job: Any, one: Settings, log: Any) -> JobReport:
        done.append((f"train {job.name}", one.schema))
        return JobReport(job.name, "trained", DAY, "m-1", {"brier": 0.25})

    monkeypatch.setattr("ml_jobs.job.train", train)
    lease = dg.ResourceDefinition.none_resource()
    built = dg.Definitions(jobs=[train_as_of_job(settings, TAGS)], resources={"lease": lease})
    job = built.resolve_job_def("train_as_of")
    assert job.partitions_def is not None
    assert "2025-06-02" in job.partitions_def.get_partition_keys(current_time=datetime(2025, 7, 1, tzinfo=UTC))
    run = job.execute_in_process(partition_key="2025-06-02", instance=dg.DagsterInstance.ephemeral())
    assert run.success
    assert done[0] == ("normalize", settings.schema)
    assert done[1] == ("build", f"asof_20250602_train {('before_ml', DAY)}")
    assert done[2:] == [(f"train {name}", "asof_20250602_train") for name in KEY_OF_JOB]
    (output,) = [event for event in run.all_node_events if event.is_successful_output]
    assert output.step_output_data.metadata["churn.metrics.brier"].value == 0.25


@pytest.mark.parametrize(("name", "step"), [("train", "run"), ("score", "refresh")])
def test_the_daily_job_scores_and_the_weekly_one_trains(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    called: list[tuple[str, str]] = []
    for one in ("run", "refresh"):

        def do(job: Any, settings: Settings, log: Any, one: str = one) -> JobReport:
            called.append((one, job.name))
            return JobReport(job.name, "scored", DAY, "m-1")

        monkeypatch.setattr(f"ml_jobs.job.{one}", do)
    built = dg.Definitions(
        assets=ml_definitions(settings), jobs=[TRAIN, SCORE], resources={"lease": dg.ResourceDefinition.none_resource()}
    )
    assert built.resolve_job_def(name).execute_in_process(instance=dg.DagsterInstance.ephemeral()).success
    assert sorted(called) == [(step, name) for name in sorted(KEY_OF_JOB)]


def test_each_night_one_of_the_two_runs() -> None:
    nights = {one.job_name: one for one in schedules_of({}) if one.job_name in {"train", "score"}}
    week = [datetime(2025, 6, 1) + timedelta(days=n, hours=3, minutes=35) for n in range(7)]
    due = {name: set(_due(str(one.cron_schedule), week)) for name, one in nights.items()}
    assert due["train"] == {week[0]}, "a Sunday"
    assert due["score"] == set(week[1:])


def _due(cron: str, instants: list[datetime]) -> list[datetime]:
    return [
        one
        for one in instants
        if next(cron_string_iterator(one.replace(tzinfo=UTC).timestamp(), cron, "UTC")) == one.replace(tzinfo=UTC)
    ]


def test_each_check_warns_of_its_own(settings: Settings) -> None:
    drifted(settings, DAY, 0.35)
    (found,) = watch(settings, ["churn"])
    result = drift_result(found)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == "recency_days 0.35 (0.20 at most)"
    assert result.metadata["compared"].value == 2
    assert decay_result(found).passed
    write(settings, "insert into {schema}.recommendation_exposure values ('personal', 900, 9, 0.75, 0.5, 0.9, true)")
    write(settings, "insert into {schema}.recommendation_exposure values ('popular', 900, 3, 1, 1, 0.99, false)")
    result = exposure_result(settings)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == "1 % of the products have 75% of the personal offers"
    write(settings, "update {schema}.recommendation_exposure set is_concentrated = false")
    assert exposure_result(settings).passed


def compared(settings: Settings, on: str, measure: str, uplift: float, half: float | None) -> None:
    """What r-1 brought, of 900 people beside 100."""
    low, high = (None, None) if half is None else (uplift - half, uplift + half)
    write(
        settings, "insert into {schema}.recommendation_uplift values ('r-1', ?, ?, 900, 100, ?, ?, ?, ?)",
        on, measure, uplift, low, high, high is not None and high < 0,
    )  # fmt: skip


def test_the_newest_day_warns_if_offers_do_harm_beyond_chance(settings: Settings) -> None:
    assert uplift_result(uplifts(settings)).metadata["note"].value == "nobody is held out, or no horizon is over yet"
    compared(settings, "2025-05-01", "bought", -0.25, 0.125)
    result = uplift_result(uplifts(settings))
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == ("bought of r-1: -0.2500 (95 %: -0.3750 to -0.1250; 900 people, 100 held out)")
    compared(settings, "2025-05-02", "bought", -0.25, 0.5)
    compared(settings, "2025-05-02", "net_revenue", -9, None)
    result = uplift_result(uplifts(settings))
    assert result.passed
    assert result.metadata["day"].value == "2025-05-02"
    assert result.metadata["net_revenue of r-1"].value.startswith("-9.0000 (too few buyers to tell")


def test_uplift_is_shown_by_day_where_it_can_be_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(settings, "2025-05-01", "bought", 0.25, None)
    assert images(model_plots(settings, "recommendations", "r-1")) == set()
    compared(settings, "2025-05-02", "bought", 0.25, 0.125)
    compared(settings, "2025-05-02", "net_revenue", 8, 1)
    assert images(model_plots(settings, "recommendations", "r-1")) == {"uplift"}
    assert images(model_plots(settings, "churn", "r-1")) == set()
    drawn: list[Any] = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.errorbar", lambda _, *values, **__: drawn.append([one.tolist() for one in values])
    )
    model_plots(settings, "recommendations", "r-1")
    assert drawn == [[[date(2025, 5, 2)], [0.25], [0.125]]]
    write(settings, "drop table {schema}.recommendation_uplift")
    assert images(model_plots(settings, "recommendations", "r-1")) == set(), "a project of one's own may have none"


def test_dagster_runs_every_check_on_an_installation_in_which_nothing_came_yet(settings: Settings) -> None:
    @dg.multi_asset(
        specs=[dg.AssetSpec(list(key)) for key in (OUTCOMES_KEY, EXPOSURE_KEY, UPLIFT_KEY, *KEY_OF_JOB.values())]
    )
    def all_of_them() -> Iterator[dg.MaterializeResult]:
        for spec in all_of_them.specs:
            yield dg.MaterializeResult(asset_key=spec.key)

    run = dg.materialize(
        [all_of_them, *feedback_checks(settings, {OUTCOMES_KEY, EXPOSURE_KEY, UPLIFT_KEY})],
        resources={"lease": dg.ResourceDefinition.none_resource()},
        instance=dg.DagsterInstance.ephemeral(),
    )
    assert run.success
    checks = run.get_asset_check_evaluations()
    assert {check.check_name for check in checks} == {
        "drift",
        "exposure",
        "uplift",
        *(f"{job}_decay" for job in JOBS_WITH_OUTCOMES),
    }
    assert len(checks) == 2 + len(KEY_OF_JOB) + len(JOBS_WITH_OUTCOMES)
    assert all(check.passed for check in checks)
    assert len(feedback_checks(settings, set())) == len(KEY_OF_JOB)
