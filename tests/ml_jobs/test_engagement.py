"""Engagement: who is likely to answer is told, probabilities are calibrated, and the future is not seen."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from ml_jobs import job as jobs
from ml_jobs.engagement.config import EngagementConfig
from ml_jobs.engagement.evaluate import evaluate, merit, split
from ml_jobs.engagement.features import People, TrainingSet, read_people, read_training_set
from ml_jobs.engagement.job import EngagementJob
from ml_jobs.engagement.model import METHODS, OWN_RATE, TREES, EngagementModel, OwnRate, fit
from ml_jobs.errors import FeatureTableError, TrainingRefusedError
from ml_jobs.report import JobReport
from tests.ml_jobs import mails, stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
CONFIG = EngagementConfig(features=mails.ENGAGEMENT_FEATURES, max_iter=30, n_folds=2)
JOB = EngagementJob(CONFIG)
PREDICTIONS = "select * exclude (trained_at) from {ml}.engagement_predictions order by profile_id"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, JobReport, np.ndarray]:
    """Trained and scored once, and the true click rates; read only."""
    settings = Settings(home=tmp_path_factory.mktemp("engagement"), target="prod")
    clicks = mails.planted_engagement(settings, AS_OF)
    return settings, jobs.run(JOB, settings), clicks


def rows_of(settings: Settings) -> TrainingSet:
    return read_training_set(settings, AS_OF, CONFIG)


def test_better_than_its_rivals_and_calibrated(planted: tuple[Settings, JobReport, np.ndarray]) -> None:
    _, report, _ = planted
    numbers = report.metrics
    assert report.status == "scored"
    assert report.reason is None
    for target, least in (("open", 0.70), ("click", 0.72)):
        assert numbers[f"{target}_method"] in METHODS
        assert numbers[f"{target}_method_chosen_before"] is not None
        assert numbers[f"{target}_auc"] > least
        assert numbers[f"{target}_brier"] < numbers[f"population_{target}_brier"]
        assert numbers[f"{target}_brier"] < numbers[f"own_rate_{target}_brier"]
        assert numbers[f"own_rate_{target}_brier"] < numbers[f"raw_rate_{target}_brier"]
        for method in METHODS:
            assert numbers[f"{method}_{target}_ece"] < 0.05
    assert "population" in report.decision


def test_predictions_are_the_true_rates_and_keep_their_contract(
    planted: tuple[Settings, JobReport, np.ndarray],
) -> None:
    settings, report, truth = planted
    rows = stores.query(settings, PREDICTIONS)
    assert len(rows) == report.n_scored == len({row[0] for row in rows}) == 1500
    p_open, p_click = (np.asarray([row[at] for row in rows]) for at in (1, 2))
    assert ((p_click > 0) & (p_click <= p_open) & (p_open < 1)).all()
    assert {row[3:] for row in rows} == {(report.model_version, AS_OF)}
    got_mail = np.arange(1500) < 1350
    assert p_click[got_mail].mean() == pytest.approx(truth[got_mail].mean(), abs=0.01)
    assert np.corrcoef(p_click[got_mail], truth[got_mail])[0, 1] > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_what_it_was_stored_with(
    planted: tuple[Settings, JobReport, np.ndarray], method: str
) -> None:
    settings, _, _ = planted
    rows = rows_of(settings)
    model = fit(rows, CONFIG, [method, method])
    said = model.predict(rows.people)
    assert said.shape == (len(rows.delivered), 2)
    assert (EngagementModel.from_dict(model.to_dict()).predict(rows.people) == said).all()
    assert said[:, 1].std() > 0.01


def test_a_column_that_is_null_for_all_or_for_all_but_one_fold_changes_nothing(
    planted: tuple[Settings, JobReport, np.ndarray],
) -> None:
    settings, _, _ = planted
    rows = rows_of(settings)
    without = rows.people.features.copy()
    without[:, 1] = 0
    # whom one fold alone has: the model of the others would see nulls only
    one_person = rows.people.profile_ids == rows.people.profile_ids[0]
    said = []
    for column in (np.zeros(len(one_person)), np.nan, np.where(one_person, 3.0, np.nan)):
        features = without.copy()
        features[:, 1] = column
        one = replace(rows, people=replace(rows.people, features=features))
        said.append(fit(one, CONFIG, [TREES, TREES]).predict(rows.people))
    np.testing.assert_array_equal(said[1], said[0])
    np.testing.assert_array_equal(said[2], said[0])


def few_people(n_people: int, n_who_open: int) -> TrainingSet:
    """A hundred mails to each; of those who open some, half are opened and clicked."""
    zeros, opens = np.zeros(n_people), np.arange(n_people) < n_who_open
    ids = np.asarray([f"u{i}" for i in range(n_people)], object)
    people = People(ids, np.zeros((n_people, 2)), zeros, np.zeros((n_people, 2)))
    answered = np.repeat(np.where(opens, 50.0, 0.0)[:, None], 2, axis=1)
    return TrainingSet(people, zeros, zeros, np.full(n_people, 100.0), answered)


def test_trees_of_too_few_people_are_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="1 people got mail; 2 are needed, one for each fold"):
        fit(few_people(1, 1), CONFIG, [TREES, TREES])
    with pytest.raises(TrainingRefusedError, match="without the people of one fold"):
        fit(few_people(9, 1), CONFIG, [TREES, TREES])
    assert fit(few_people(1, 1), CONFIG, [OWN_RATE, OWN_RATE]).estimators == (None, None)


def test_own_rates_are_between_everybodys_and_ones_own() -> None:
    people = People(
        np.asarray(["none", "some", "many"]), np.empty((3, 0)), np.asarray([0.0, 10.0, 1000.0]),
        np.asarray([[0.0, 0.0], [5.0, 0.0], [500.0, 0.0]]),
    )  # fmt: skip
    own = OwnRate(rate=0.2, strength=10.0)
    assert own.predict(people, 0).tolist() == pytest.approx([0.2, 0.35, 502 / 1010])
    assert own.raw(people, 0).tolist() == [0.2, 0.5, 0.5]


def test_merit_is_the_brier_score_of_mails() -> None:
    zeros = np.zeros(2)
    people = People(np.asarray(["a", "b"]), np.empty((2, 0)), zeros, np.zeros((2, 2)))
    test = TrainingSet(people, zeros, zeros, np.asarray([1.0, 3.0]), np.asarray([[1.0, 0.0], [1.0, 1.0]]))
    # one mail at .9, opened; three at .5
    assert -merit(np.asarray([0.9, 0.5]), test, 0).mean() == pytest.approx((0.01 + 3 * 0.25) / 4)


def test_where_features_tell_nothing_the_simplest_method_is_as_good(settings: Settings) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=1000, told=0.0)
    numbers = evaluate(rows_of(settings), CONFIG).metrics
    for target in ("open", "click"):
        assert numbers[f"{target}_brier"] == pytest.approx(numbers[f"own_rate_{target}_brier"], abs=0.003)


def test_a_method_that_was_right_before_gives_way(settings: Settings) -> None:
    """Until the last cut-off orders told who answers; after it they tell the contrary."""
    mails.planted_engagement(settings, AS_OF, n_people=1500, told=2.0)
    rows = rows_of(settings)
    newest = rows.cutoff == rows.cutoff.max()
    rows.people.features[newest] = 4 - rows.people.features[newest]
    found = evaluate(rows, CONFIG)
    assert found.metrics["open_method_chosen_before"] != OWN_RATE
    assert found.choice[0] == OWN_RATE


def test_without_an_earlier_cutoff_the_metrics_say_that_none_chose(
    planted: tuple[Settings, JobReport, np.ndarray],
) -> None:
    settings, report, _ = planted
    assert "note" not in report.metrics
    rows = rows_of(settings)
    alone = evaluate(rows.rows(rows.cutoff >= np.unique(rows.cutoff)[-2]), CONFIG).metrics
    assert (alone["open_method_chosen_before"], alone["click_method_chosen_before"]) == (None, None)
    assert alone["note"].startswith("no method was chosen by the cut-off before the newest: ")


def test_what_was_not_known_may_not_teach(planted: tuple[Settings, JobReport, np.ndarray]) -> None:
    """Horizons that overlap the newest cut-off: those of the cut-off before it have not ended."""
    settings, _, _ = planted
    rows = rows_of(settings)
    cutoffs = np.unique(rows.cutoff)
    known, test = split(replace(rows, horizon_end=rows.horizon_end + 1))
    assert np.unique(test.cutoff).tolist() == [cutoffs[-1]]
    assert np.unique(known.cutoff).tolist() == cutoffs[:-2].tolist()


def test_nothing_after_as_of_is_used(settings: Settings) -> None:
    """The canary: mails that are settled at as_of or later, and labels of a later horizon, change nothing."""
    mails.planted_engagement(settings, AS_OF, n_people=600)
    before = jobs.run(JOB, settings)
    rows = stores.query(settings, PREDICTIONS)
    at = np.datetime64(AS_OF, "s") - np.timedelta64(3, "D") + np.arange(200) * np.timedelta64(1, "h")
    mails.insert_sends(settings, np.asarray(["u00001"] * 200), at, np.ones(200, bool))
    stores.insert(
        settings,
        "engagement_training_set",
        f"""select * replace (as_of + to_days(1) as as_of, horizon_ends_at + to_days(1) as horizon_ends_at,
            delivered_ahead as clicked_ahead) from "{settings.schema}".engagement_training_set
            where as_of = (select max(as_of) from "{settings.schema}".engagement_training_set)""",
    )
    stores.insert(
        settings,
        "profile_feature_snapshots",
        f"""select * replace (as_of + to_days(1) as as_of) from "{settings.schema}".profile_feature_snapshots
            where as_of = (select max(as_of) from "{settings.schema}".profile_feature_snapshots)""",
    )
    after = jobs.run(JOB, settings)
    assert after.model_version == before.model_version
    assert after.metrics == before.metrics
    assert stores.query(settings, PREDICTIONS) == rows


def test_a_stored_model_says_what_it_said_when_it_was_fitted(settings: Settings) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=800)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.schema}.profile_features set as_of = timestamp '{AS_OF - timedelta(days=30)}'")
    stores.set_as_of(settings, AS_OF - timedelta(days=30))
    first = jobs.run(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.schema}.profile_features set as_of = timestamp '{AS_OF}'")
    stores.set_as_of(settings, AS_OF)
    second = jobs.run(JOB, settings)
    assert second.status == "scored"
    assert re.search(rf"{first.model_version} .0\.00", second.decision)
    others = EngagementJob(CONFIG.model_copy(update={"features": ("orders_30d",)}))
    assert f"{first.model_version} could not be asked: it reads other columns" in jobs.train(others, settings).decision


def test_features_that_know_the_outcome_are_refused(settings: Settings) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=800)
    with stores.connect(settings) as con:
        con.execute(
            f"""update {settings.schema}.engagement_training_set set delivered_ahead = 1,
                    opened_ahead = least(opened_ahead, 1), clicked_ahead = least(clicked_ahead, 1)"""
        )
        con.execute(
            f"""update {settings.schema}.profile_feature_snapshots as s set orders_30d = 5 * opened_ahead
                from {settings.schema}.engagement_training_set as t
                where s.profile_id = t.profile_id and s.as_of = t.as_of"""
        )
    assert "too good to be true" in str(jobs.train(JOB, settings).reason)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("delete from {s}.engagement_training_set", "no complete cut-off yet"),
        (
            """delete from {s}.engagement_training_set
                where as_of < (select max(as_of) from {s}.engagement_training_set)""",
            "nothing to validate with",
        ),
        ("update {s}.engagement_training_set set clicked_ahead = 0", "0 clicked; 30"),
        ("update {s}.engagement_training_set set opened_ahead = delivered_ahead", "not opened are needed"),
        (
            """update {s}.engagement_training_set set clicked_ahead = 0
                where as_of < (select max(as_of) from {s}.engagement_training_set)""",
            "the training set has",
        ),
    ],
    ids=["no mails", "one cut-off", "no clicks", "all opened", "no clicks before"],
)
def test_too_little_is_refused_and_the_old_model_stays(settings: Settings, spoil: str, reason: str) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=500)
    first = jobs.run(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(spoil.format(s=settings.schema))
    report = jobs.run(JOB, settings)
    assert reason in str(report.reason)
    assert (report.model_version, report.n_scored) == (first.model_version, 500)


def test_nobody_to_write_to_is_no_rows(settings: Settings) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=500)
    jobs.run(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.schema}.dim_profiles set email = null")
    assert jobs.score(JOB, settings).n_scored == 0
    assert stores.query(settings, PREDICTIONS) == []


def test_features_of_another_day_or_without_columns_are_one_clear_error(settings: Settings) -> None:
    mails.planted_engagement(settings, AS_OF, n_people=100)
    with pytest.raises(FeatureTableError, match="was built for"):
        read_people(settings, AS_OF + timedelta(days=1), CONFIG)
    with pytest.raises(FeatureTableError, match=r"profile_feature_snapshots\.recency_days"):
        read_training_set(settings, AS_OF, CONFIG.model_copy(update={"features": ("recency_days",)}))
