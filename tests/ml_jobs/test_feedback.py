"""Predictions are kept by day, and each day is held against the first of its model."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from ml_jobs import job as jobs
from ml_jobs.churn import job as churn
from ml_jobs.churn.config import ChurnConfig
from ml_jobs.feedback.config import FeedbackConfig
from ml_jobs.feedback.drift import Profile, counted, index_by_chance, largest_gap, profile_of, stability_index
from ml_jobs.feedback.record import Drift, record
from ml_jobs.recommendations import job as recommendations
from ml_jobs.registry import ModelRun
from tests.ml_jobs import stores
from warehouse.connection import connect
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
DAY = timedelta(days=1)
LOGGED = "select as_of_on::text, profile_id, horizon_days, subject, rank, value from {ml}.prediction_log order by all"


def run_of(job: str, version: str = "m-1", **params: Any) -> ModelRun:
    return ModelRun(version, job, AS_OF, AS_OF, params, {}, "00", 1, 1)


def predicted(settings: Settings, values: list[tuple[str, float]], as_of: datetime, version: str = "m-1") -> None:
    """Churn predictions of `as_of`, and nothing else."""
    with connect(settings) as con:
        con.execute(f"delete from {settings.ml_schema}.churn_predictions")
        for profile_id, value in values:
            con.execute(
                f"insert into {settings.ml_schema}.churn_predictions "
                "(profile_id, churn_probability, churn_band, model_version, trained_at, as_of) "
                "values (?, ?, 'low', ?, ?, ?)",
                [profile_id, value, version, as_of, as_of],
            )


def featured(settings: Settings, values: list[tuple[str, float | None]]) -> None:
    """`profile_features` with one column."""
    with connect(settings) as con:
        con.execute(
            f"create or replace table {settings.schema}.profile_features (profile_id text, recency_days numeric(9, 2))"
        )
        con.executemany(f"insert into {settings.schema}.profile_features values (?, ?)", values)


def kept(settings: Settings, as_of: datetime, version: str = "m-1", **config: Any) -> dict[str, Drift]:
    stored = {"features": ["recency_days"], "horizon_days": 90}
    found = record(settings, "churn_predictions", run_of("churn", version), stored, as_of, FeedbackConfig(**config))
    return {one.name: one for one in found}


@pytest.fixture
def store(settings: Settings) -> Settings:
    stores.new_store(settings, AS_OF)
    featured(settings, [(f"p{n}", float(n)) for n in range(500)])
    return settings


def people(n: int = 500, shift: float = 0.0) -> list[tuple[str, float]]:
    return [(f"p{i}", i / 1000 + shift) for i in range(n)]


def test_a_day_is_kept_once_and_days_leave_after_the_declared_time(store: Settings) -> None:
    predicted(store, [("a", 0.2), ("b", 0.4)], AS_OF)
    kept(store, AS_OF)
    predicted(store, [("a", 0.3)], AS_OF - timedelta(hours=1))  # the same day again
    kept(store, AS_OF - timedelta(hours=1))
    assert stores.query(store, LOGGED) == [("2024-05-31", "a", 90, "", 1, 0.3)]
    predicted(store, [("a", 0.5)], AS_OF + DAY)
    kept(store, AS_OF + DAY)
    assert [row[0] for row in stores.query(store, LOGGED)] == ["2024-05-31", "2024-06-01"]
    predicted(store, [("a", 0.5)], AS_OF + 10 * DAY)
    kept(store, AS_OF + 10 * DAY, keep_days=10)
    assert [row[0] for row in stores.query(store, LOGGED)] == ["2024-06-01", "2024-06-10"]


def test_a_day_leaves_once_the_marts_are_done_with_it(store: Settings) -> None:
    """A horizon of 90 days, and `outcome_days` (28) after it in which it is held against what came."""
    predicted(store, [("a", 0.2)], AS_OF)
    kept(store, AS_OF)
    for days, n_days in ((118, 2), (119, 2)):
        predicted(store, [("a", 0.2)], AS_OF + days * DAY)
        kept(store, AS_OF + days * DAY)
        assert len(stores.query(store, LOGGED)) == n_days, days
    assert [row[0] for row in stores.query(store, LOGGED)] == ["2024-09-26", "2024-09-27"]


def test_of_what_never_comes_true_the_newest_day_is_kept(store: Settings) -> None:
    for later in (0, 1, 2):
        as_of = AS_OF + later * DAY
        with connect(store) as con:
            con.execute(f"delete from {store.ml_schema}.engagement_predictions")
            con.execute(
                f"insert into {store.ml_schema}.engagement_predictions values ('a', 0.4, 0.2, 'm-1', ?, ?)",
                [as_of, as_of],
            )
        record(store, "engagement_predictions", run_of("engagement"), {"features": ["recency_days"]}, as_of)
        assert stores.query(store, LOGGED) == [(str((as_of - DAY).date()), "a", None, "", 1, 0.2)]


def test_the_days_of_another_job_stay(store: Settings) -> None:
    with connect(store) as con:
        con.execute(
            f"insert into {store.ml_schema}.prediction_log values "
            "('other', 'o-1', '2020-01-01', '2020-01-02', 'a', 30, '', 1, 0.5)"
        )
    predicted(store, [("a", 0.2)], AS_OF)
    kept(store, AS_OF, keep_days=1)
    assert len(stores.query(store, LOGGED)) == 2


def test_the_first_day_is_like_itself_and_a_like_day_is_no_drift(store: Settings) -> None:
    predicted(store, people(), AS_OF)
    first = kept(store, AS_OF)
    assert {name: one.value for name, one in first.items()} == {
        "recency_days": 0, "churn_probability_90d": 0, "people_scored": 0
    }  # fmt: skip
    predicted(store, people(490, 0.001), AS_OF + DAY)
    assert not [one for one in kept(store, AS_OF + DAY).values() if one.is_over]
    assert stores.query(
        store, "select count(*), max(n_first), max(n) from {ml}.drift where as_of_on = '2024-06-01'"
    ) == [(3, 500, 490)]


def test_what_moved_is_named_and_what_did_not_is_not(store: Settings) -> None:
    predicted(store, people(), AS_OF)
    kept(store, AS_OF)
    predicted(store, people(shift=0.3), AS_OF + DAY)
    found = kept(store, AS_OF + DAY)
    assert [name for name, one in found.items() if one.is_over] == ["churn_probability_90d"]
    # of values that are spread evenly over 0.5, a shift by 0.3
    assert found["churn_probability_90d"].largest_gap == pytest.approx(0.6, abs=0.01)
    gaps = "select name, largest_gap from {ml}.drift where as_of_on = '2024-06-01' order by name"
    assert stores.query(store, gaps) == sorted((name, one.largest_gap) for name, one in found.items())
    assert found["people_scored"].largest_gap is None
    featured(store, [(f"p{n}", None if n % 2 else float(n)) for n in range(500)])
    predicted(store, people(), AS_OF + 2 * DAY)
    assert [name for name, one in kept(store, AS_OF + 2 * DAY).items() if one.is_over] == ["recency_days"]
    predicted(store, people(350), AS_OF + 3 * DAY)
    featured(store, [(f"p{n}", float(n)) for n in range(500)])
    found = kept(store, AS_OF + 3 * DAY)
    assert found["people_scored"].is_over
    assert found["people_scored"].value == pytest.approx(0.3)
    rows = stores.query(store, "select as_of_on::text, name from {ml}.drift where is_over order by all")
    assert ("2024-06-01", "churn_probability_90d") in rows
    assert ("2024-06-02", "recency_days") in rows


def test_a_new_model_has_a_first_day_of_its_own(store: Settings) -> None:
    predicted(store, people(), AS_OF)
    kept(store, AS_OF)
    predicted(store, people(shift=0.3), AS_OF + DAY, "m-2")
    assert kept(store, AS_OF + DAY, "m-2")["churn_probability_90d"].value == 0


def test_the_first_day_scored_again_is_the_first_day(store: Settings) -> None:
    """On mended features, say: the next day must not be held against those that were wrong."""
    predicted(store, people(shift=0.4), AS_OF)
    kept(store, AS_OF)
    predicted(store, people(), AS_OF)
    again = kept(store, AS_OF)
    predicted(store, people(), AS_OF + DAY)
    for found in (again, kept(store, AS_OF + DAY)):
        assert found["churn_probability_90d"].value == 0


def test_nobody_to_score_is_no_first_day_and_later_a_loss_of_all(store: Settings) -> None:
    predicted(store, [], AS_OF)
    assert kept(store, AS_OF) == {}
    predicted(store, people(), AS_OF + DAY)
    assert kept(store, AS_OF + DAY)["people_scored"].n_first == 500
    predicted(store, [], AS_OF + 2 * DAY)
    assert [(one.name, one.value) for one in kept(store, AS_OF + 2 * DAY).values()] == [("people_scored", 1.0)]


def test_any_two_days_of_few_people_differ(store: Settings) -> None:
    predicted(store, people(12), AS_OF)
    kept(store, AS_OF)
    predicted(store, people(6), AS_OF + DAY)
    found = kept(store, AS_OF + DAY)["churn_probability_90d"]
    assert found.value > FeedbackConfig().max_psi
    assert not found.is_over


def test_scoring_keeps_what_a_mail_shows(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=200)
    report = recommendations.run(settings)
    candidates = stores.query(
        settings,
        """select profile_id, product_id, rank, score from {ml}.recommendation_candidates
           where placement = 'email' and rank <= 3 order by all""",
    )
    assert len(candidates) > 300
    rows = "select profile_id, subject, rank, value from {ml}.prediction_log order by all"
    assert stores.query(settings, rows) == candidates
    whole = "select distinct job, model_version, horizon_days, as_of from {ml}.prediction_log"
    assert stores.query(settings, whole) == [("recommendations", report.model_version, 30, AS_OF)]
    recommendations.score(settings)
    assert stores.query(settings, rows) == candidates


def test_scoring_compares_the_columns_that_the_model_reads(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF, n_people=400)
    stores.build_churn_tables(settings, AS_OF, 60, 6)
    config = ChurnConfig(features=stores.PURCHASE_FEATURES, max_iter=10, n_folds=2)
    report = churn.run(settings, config=config)
    assert report.status in {"trained", "scored"}, report
    names = stores.query(settings, "select name, n_first, n from {ml}.drift order by name")
    assert {name for name, *_ in names} == {*stores.PURCHASE_FEATURES, "churn_probability_60d", "people_scored"}
    assert {row[1:] for row in names} == {(report.n_scored, report.n_scored)}


def test_a_refresh_trains_only_where_no_model_lives(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=100)
    job = recommendations.RecommendationJob()
    runs = "select count(*) from {ml}.model_runs"
    first = jobs.refresh(job, settings)
    assert (first.status, stores.query(settings, runs)) == ("scored", [(1,)])
    stores.set_as_of(settings, AS_OF + DAY)
    again = jobs.refresh(job, settings)
    assert (again.as_of, again.model_version, stores.query(settings, runs)) == (
        AS_OF + DAY,
        first.model_version,
        [(1,)],
    )
    assert jobs.run(job, settings).model_version != first.model_version


def test_a_refresh_trains_anew_where_the_models_file_is_lost(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=100)
    job = recommendations.RecommendationJob()
    first = jobs.refresh(job, settings)
    (artefact,) = settings.artefacts_dir.glob("*.joblib")
    artefact.unlink()
    stores.set_as_of(settings, AS_OF + DAY)
    told: list[str] = []
    again = jobs.refresh(job, settings, told.append)
    assert again.status == "scored"
    assert again.model_version != first.model_version
    assert any("trains anew" in line and "is missing" in line for line in told)
    assert jobs.refresh(job, settings).model_version == again.model_version


VALUES = st.lists(st.one_of(st.floats(-100, 100), st.just(float("nan"))), min_size=1, max_size=60)


@given(VALUES, VALUES, st.integers(2, 12))
def test_a_profile_counts_everybody_and_is_unlike_others_alone(
    first: list[float], later: list[float], n_bins: int
) -> None:
    before = profile_of(np.asarray(first), n_bins)
    assert before.n == len(first)
    assert len(before.counts) == len(before.edges) + 2
    assert len(before.edges) < n_bins
    assert counted(np.asarray(first), before.edges) == before
    assert stability_index(before, before) == 0
    after = counted(np.asarray(later), before.edges)
    assert after.n == len(later)
    assert stability_index(before, after) >= 0
    assert stability_index(before, after) == pytest.approx(stability_index(after, before))


# of scipy's p-value, which nobody asks for
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(VALUES, VALUES, st.integers(2, 12))
def test_the_largest_gap_is_the_ks_statistic_as_far_as_bins_show_it(
    first: list[float], later: list[float], n_bins: int
) -> None:
    before = profile_of(np.asarray(first), n_bins)
    after = counted(np.asarray(later), before.edges)
    gap = largest_gap(before, after)
    assert gap is not None
    assert largest_gap(before, before) == 0
    # scipy knows no nulls: they come before every value here
    samples = [np.nan_to_num(one, nan=-1000) for one in (first, later)]
    assert gap <= ks_2samp(*samples, method="asymp").statistic + 1e-12
    every = tuple(sorted({one for one in [*first, *later] if np.isfinite(one)}))
    whole = largest_gap(counted(np.asarray(first), every), counted(np.asarray(later), every))
    assert whole == pytest.approx(ks_2samp(*samples, method="asymp").statistic)


def test_nobody_has_no_gap() -> None:
    assert largest_gap(Profile((1.0,), (0, 0, 0)), Profile((1.0,), (0, 1, 0))) is None
    assert largest_gap(Profile((1.0,), (0, 1, 0)), Profile((1.0,), (0, 0, 0))) is None


def test_the_index_is_that_of_a_worked_example() -> None:
    before, after = Profile((1.0,), (0, 50, 50)), Profile((1.0,), (0, 75, 25))
    assert stability_index(before, after) == pytest.approx(0.25 * np.log(1.5) + 0.25 * np.log(2))


def test_by_chance_the_index_is_as_large_as_often_as_said() -> None:
    random = np.random.default_rng(20240229)
    over = 0
    for _ in range(2000):
        before = Profile((), (0, *random.multinomial(400, [0.1] * 10).tolist()))
        after = Profile((), (0, *random.multinomial(300, [0.1] * 10).tolist()))
        over += stability_index(before, after) > index_by_chance(before, after, 0.05)
    assert over / 2000 == pytest.approx(0.05, abs=0.02)
