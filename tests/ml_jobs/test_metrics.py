"""The metrics of a run as rows of the registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ml_jobs import registry
from ml_jobs.metrics import Metric, metrics_of
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
FOUND = {"auc": 0.75, "gain": 0.02, "gain_95": [-0.01, 0.05], "n": 12, "method": "trees", "is_new": True}
ROWS = "select metric, segment, value, low, high, n from {ml}.metrics where model_version = 'churn-1' order by metric"


def a_run(**changes: object) -> registry.ModelRun:
    run = registry.ModelRun("churn-1", "churn", AS_OF, AS_OF, {}, FOUND, "00", n_train=100, n_test=40)
    return replace(run, **changes)  # type: ignore[arg-type]


def test_numbers_are_metrics_and_a_pair_is_the_interval_of_its_number() -> None:
    assert metrics_of(FOUND) == [Metric("auc", 0.75), Metric("gain", 0.02, -0.01, 0.05), Metric("n", 12.0)]


def test_what_is_not_finite_is_no_metric_and_no_end() -> None:
    nan = float("nan")
    assert metrics_of({"auc": nan, "gain": 1.0, "gain_95": [nan, nan]}) == [Metric("gain", 1.0)]


def test_a_run_leaves_its_metrics_and_the_same_again_replaces_them(settings: Settings) -> None:
    stores.new_store(settings, AS_OF)
    expected = [
        ("auc", "", 0.75, None, None, 40), ("gain", "", 0.02, -0.01, 0.05, 40), ("n", "", 12.0, None, None, 40)
    ]  # fmt: skip
    registry.record_run(settings, a_run())
    registry.record_run(settings, a_run(model_version="churn-2", metrics={"auc": 0.8}))
    assert stores.query(settings, ROWS) == expected
    registry.record_run(settings, a_run())
    assert stores.query(settings, ROWS) == expected
    registry.record_run(settings, a_run(metrics={"auc": 0.5}))
    assert stores.query(settings, ROWS) == [("auc", "", 0.5, None, None, 40)]
    assert stores.query(settings, "select value from {ml}.metrics where model_version = 'churn-2'") == [(0.8,)]


def test_a_refusal_has_none(settings: Settings) -> None:
    stores.new_store(settings, AS_OF)
    registry.record_refusal(settings, "churn", AS_OF, {}, "too few buyers")
    assert stores.query(settings, "select count(*) from {ml}.model_runs") == [(1,)]
    assert stores.query(settings, "select count(*) from {ml}.metrics") == [(0,)]
