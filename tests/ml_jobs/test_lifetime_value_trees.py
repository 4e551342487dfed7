"""Trees beside BG/NBD: better where there is more to know than when people bought, and one with its other figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from ml_jobs import job as jobs
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.lifetime_value import model as models
from ml_jobs.lifetime_value import trees
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.evaluate import Choice, evaluate, split
from ml_jobs.lifetime_value.features import Snapshots, read_snapshots
from ml_jobs.lifetime_value.job import LifetimeValueJob
from ml_jobs.lifetime_value.model import BG_NBD, TREES, LifetimeValueModel
from ml_jobs.lifetime_value.predict import Predictions, expected_revenue
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
CONFIG = LifetimeValueConfig(features=stores.PURCHASE_FEATURES)
HINT = CONFIG.features.index("items_365d")
"""A column that is made to say what no history does."""
SPREE = "case when hash(profile_id) % 2 = 0 then 0.1 else 3 end"
"""Half the people will spend thirty times what the others do."""


def hinted(settings: Settings) -> None:
    """A shop in which one column tells who will spend how much, and nothing in the past does."""
    stores.planted_churn(settings, AS_OF, n_people=900)
    with stores.connect(settings) as con:
        con.execute(
            f"""update {settings.schema}.fct_order_lines set
                gross_revenue = 5 + hash(profile_id) % 40 + hash(order_id) % 10,
                net_revenue = 5 + hash(profile_id) % 40 + hash(order_id) % 10"""
        )
    stores.build_churn_tables(settings, AS_OF, 60)
    with stores.connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        con.execute(f"update churn_training_set set items_365d = 10 * {SPREE}, revenue_ahead = revenue_ahead * {SPREE}")
        con.execute(f"update profile_features set items_365d = 10 * {SPREE}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, jobs.JobReport]:
    """Trained and scored once; read only."""
    settings = Settings(home=tmp_path_factory.mktemp("hinted"), target="prod")
    hinted(settings)
    return settings, jobs.run(LifetimeValueJob(CONFIG), settings)


@pytest.fixture(scope="module")
def past(shop: tuple[Settings, jobs.JobReport]) -> Snapshots:
    return read_snapshots(shop[0], AS_OF, CONFIG.features)


def test_trees_go_live_where_they_know_more(shop: tuple[Settings, jobs.JobReport]) -> None:
    settings, report = shop
    numbers = report.metrics
    assert "note" not in numbers
    assert numbers["method"] == numbers["method_chosen_before"] == TREES
    assert numbers["deviance"] == numbers["trees_deviance"] < numbers["bg_nbd_deviance"] - 0.1
    assert "against all_the_same" in report.decision or "bg_nbd" in report.decision
    assert numbers["expected_revenue"] == pytest.approx(numbers["actual_revenue"], rel=0.2)
    assert numbers["value_within"] >= 0.75
    assert stores.query(settings, "select distinct value_method from {ml}.lifetime_value_predictions") == [(TREES,)]
    means = stores.query(
        settings,
        "select hash(profile_id) % 2, avg(expected_value) from {ml}.lifetime_value_predictions "
        "where horizon_days = 90 group by 1 order by 1",
    )
    assert means[1][1] > 8 * means[0][1]


def test_no_figure_contradicts_another(shop: tuple[Settings, jobs.JobReport]) -> None:
    """One factor per person, at all horizons: sums grow with the horizon, and the interval goes with its middle."""
    settings, _ = shop
    people = stores.query(
        settings,
        """select list(expected_value order by horizon_days), list(value_low order by horizon_days),
            list(value_high order by horizon_days)
        from {ml}.lifetime_value_predictions group by profile_id""",
    )
    assert len(people) > 800
    for expected, low, high in people:
        assert 0 < expected[0] <= expected[1] <= expected[2]
        assert all(0 <= one <= other for one, other in zip(low, high, strict=True))
        assert low == sorted(low)
        assert high == sorted(high)


def test_the_horizon_of_the_training_set_is_the_trees_own(past: Snapshots) -> None:
    test = past.rows(past.cutoff == past.cutoff.max())
    by_bg_nbd = trees.expectations(past, CONFIG)
    fitted = trees.fit(past, by_bg_nbd, CONFIG)
    assert fitted is not None
    assert fitted.horizon_days == 60
    model = replace(models.fit(test.histories, CONFIG), trees=replace(fitted, stretch=2.0))
    two = CONFIG.model_copy(update={"horizons": (60, 120)})
    said = model.predict(test.histories, test.features, two)
    plain = replace(model, trees=None).predict(test.histories, test.features, two)
    expected = expected_revenue(model.purchases, model.values, test.histories, 60)
    np.testing.assert_allclose(expected, plain.expected_value[:, 0])
    own = fitted.expected(test.features, expected)
    np.testing.assert_allclose(said.expected_value[:, 0], own)
    factor = (own / expected)[:, None]
    np.testing.assert_allclose(said.expected_value, plain.expected_value * factor)
    np.testing.assert_allclose(said.value_low, plain.value_low * factor / 2)
    np.testing.assert_allclose(said.value_high, plain.value_high * factor * 2)
    np.testing.assert_array_equal(said.expected_purchases, plain.expected_purchases)


def test_what_comes_after_the_cutoff_teaches_nothing(past: Snapshots) -> None:
    """Embargo: sums that were still to come on the day of the newest cut-off change neither trees nor the choice."""
    newest = past.cutoff.max()
    known, test = split(past)
    assert set(test.cutoff) == {newest}
    assert known.horizon_end.max() <= newest
    assert len(set(known.cutoff)) == len(set(past.cutoff)) - 2
    before = evaluate(past, CONFIG)
    open_still = (past.horizon_end > newest) & (past.cutoff < newest)
    assert open_still.any()
    spoilt = evaluate(replace(past, revenue=np.where(open_still, 1e6, past.revenue)), CONFIG)
    assert spoilt.metrics == before.metrics
    assert spoilt.choice == before.choice


def test_trees_that_fail_at_the_newest_cutoff_give_way(past: Snapshots) -> None:
    """What told who spends tells the opposite from one day to the next."""
    newest = past.cutoff == past.cutoff.max()
    features = past.features.copy()
    features[newest, HINT] = 31 - features[newest, HINT]
    found = evaluate(replace(past, features=features), CONFIG)
    assert found.metrics["method_chosen_before"] == TREES
    assert found.metrics["method"] == found.choice.method == BG_NBD
    assert found.metrics["deviance"] == found.metrics["bg_nbd_deviance"] < found.metrics["trees_deviance"]
    assert found.trial is not None
    assert BG_NBD not in found.trial.rivals


def test_without_an_earlier_window_there_is_nothing_to_choose_by(past: Snapshots) -> None:
    recent = past.rows(past.cutoff >= np.unique(past.cutoff)[-3])
    found = evaluate(recent, CONFIG)
    assert found.metrics["method_chosen_before"] is None
    assert found.metrics["note"].endswith("before the newest: trees had no earlier cut-off to learn from")
    assert found.choice == Choice(BG_NBD, found.choice.stretch)
    assert found.metrics["trees_deviance"] < found.metrics["bg_nbd_deviance"]


def test_a_column_that_knows_the_future_is_refused(past: Snapshots) -> None:
    """On every row what was spent after its cut-off, as a join on the wrong day would have it."""
    features = past.features.copy()
    features[:, (HINT + 1) % len(CONFIG.features)] = past.revenue
    with pytest.raises(TrainingRefusedError, match="too good to be true: a feature of churn_training_set knows"):
        evaluate(replace(past, features=features), CONFIG)


def test_a_stored_model_says_the_same_and_one_from_before_trees_still_loads(past: Snapshots) -> None:
    test = past.rows(past.cutoff == past.cutoff.max())
    model = replace(models.fit(test.histories, CONFIG), trees=trees.fit(past, trees.expectations(past, CONFIG), CONFIG))
    again = LifetimeValueModel.from_dict(model.to_dict())
    assert again.method == TREES
    told = [one.predict(test.histories, test.features, CONFIG).expected_value for one in (model, again)]
    np.testing.assert_array_equal(*told)
    old = model.to_dict()
    del old["trees"]
    assert LifetimeValueModel.from_dict(old).method == BG_NBD


def test_nothing_spent_after_any_cutoff_is_nothing_to_learn(past: Snapshots) -> None:
    nothing = replace(past, revenue=np.zeros(len(past.revenue)))
    assert trees.fit(nothing, np.ones(len(past.revenue)), CONFIG) is None


def test_a_column_that_is_null_for_everybody_changes_nothing(past: Snapshots) -> None:
    by_bg_nbd, other = trees.expectations(past, CONFIG), (HINT + 1) % len(CONFIG.features)
    said = []
    for value in (0.0, np.nan):
        features = past.features.copy()
        features[:, other] = value
        fitted = trees.fit(replace(past, features=features), by_bg_nbd, CONFIG)
        assert fitted is not None
        said.append(fitted.expected(past.features, by_bg_nbd))
    np.testing.assert_array_equal(*said)


def test_a_cutoff_with_too_few_people_has_no_expectation(past: Snapshots) -> None:
    first = past.cutoff == past.cutoff.min()
    few = past.rows(~first | (np.cumsum(first) <= 20))
    expected = trees.expectations(few, CONFIG)
    assert np.isnan(expected[few.cutoff == few.cutoff.min()]).all()
    assert np.isfinite(expected[few.cutoff > few.cutoff.min()]).all()
    assert trees.fit(few, expected, CONFIG) is not None


def test_who_is_credited_more_than_they_bought_spends_nothing(past: Snapshots) -> None:
    """Whatever the credit: a model that rightly expects nothing of them is right, and so is its interval of zeros."""
    nothing = past.purchases == 0
    assert nothing.any()
    plain = evaluate(past, CONFIG)
    credited = evaluate(replace(past, revenue=np.where(nothing, -50.0, past.revenue)), CONFIG)
    assert credited.choice == plain.choice
    assert plain.trial is not None
    assert credited.trial is not None
    for one, other in zip(plain.trial.rivals.values(), credited.trial.rivals.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    differing = {name for name, value in plain.metrics.items() if credited.metrics[name] != value}
    assert differing == {"actual_revenue"}


def said_of(low: np.ndarray, high: np.ndarray) -> Predictions:
    nothing = np.zeros(len(low))
    return Predictions(*(nothing,) * 7, value_low=low[:, None], value_high=high[:, None])


def test_the_stretch_makes_intervals_hold_their_share_of_people() -> None:
    rng = np.random.default_rng(5)
    spent = rng.lognormal(3, 1.5, 4001)
    low, high = np.full(4001, 10.0), np.full(4001, 40.0)
    stretch = trees.stretch_of(said_of(low, high), spent, 0.8)
    assert np.mean((low / stretch <= spent) & (spent <= high * stretch)) == pytest.approx(0.8, abs=0.001)
    less = stretch * 0.99
    assert np.mean((low / less <= spent) & (spent <= high * less)) < 0.8
    assert trees.stretch_of(said_of(low / 1e6, high * 1e6), spent, 0.8) == 1
    # no factor makes zero reach anything
    assert trees.stretch_of(said_of(low * 0, high * 0), spent, 0.8) == 1


def test_nobody_to_score(shop: tuple[Settings, jobs.JobReport], tmp_path: Path) -> None:
    """A live model, and no buyers any more."""
    settings = Settings(home=tmp_path, target="prod")
    hinted(settings)
    jobs.train(LifetimeValueJob(CONFIG), settings)
    with stores.connect(settings) as con:
        con.execute(f"delete from {settings.schema}.profile_features")
    report = jobs.score(LifetimeValueJob(CONFIG), settings)
    assert (report.status, report.n_scored) == ("scored", 0)
