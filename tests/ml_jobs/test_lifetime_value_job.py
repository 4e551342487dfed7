"""Lifetime value from the warehouse and back: true on planted rhythms, honest about too little."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ml_jobs import job as jobs
from ml_jobs.errors import FeatureTableError
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.evaluate import deviance
from ml_jobs.lifetime_value.features import read_buyers, read_snapshots
from ml_jobs.lifetime_value.job import LifetimeValueJob
from ml_jobs.report import JobReport
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
CONFIG = LifetimeValueConfig(features=stores.PURCHASE_FEATURES)
JOB = LifetimeValueJob(CONFIG)
PREDICTIONS = (
    "select * exclude (trained_at, value_method) from {ml}.lifetime_value_predictions order by profile_id, horizon_days"
)


def planted(settings: Settings, n_people: int = 1500, as_of: datetime = AS_OF) -> None:
    """Planted rhythms, with values that differ from person to person."""
    stores.planted_churn(settings, AS_OF, n_people=n_people)
    with stores.connect(settings) as con:
        con.execute(
            f"""update {settings.schema}.fct_order_lines set
                gross_revenue = 5 + hash(profile_id) % 40 + hash(order_id) % 10,
                net_revenue = 5 + hash(profile_id) % 40 + hash(order_id) % 10"""
        )
    at(settings, as_of)


def at(settings: Settings, as_of: datetime) -> None:
    stores.set_as_of(settings, as_of)
    stores.build_churn_tables(settings, as_of, 60)


@pytest.fixture(scope="module")
def rhythms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, JobReport]:
    """Trained and scored once; read only."""
    settings = Settings(home=tmp_path_factory.mktemp("rhythms"), target="prod")
    planted(settings, 2500)
    return settings, jobs.run(JOB, settings)


def test_expects_about_what_came_and_is_better_than_simple_rivals(rhythms: tuple[Settings, JobReport]) -> None:
    _, report = rhythms
    numbers = report.metrics
    assert report.status == "scored"
    assert report.reason is None
    assert numbers["expected_purchases"] == pytest.approx(numbers["actual_purchases"], rel=0.1)
    assert numbers["expected_revenue"] == pytest.approx(numbers["actual_revenue"], rel=0.1)
    assert numbers["p_purchase"] == pytest.approx(numbers["purchase_rate"], abs=0.03)
    assert numbers["auc"] > 0.8
    assert numbers["deviance"] < numbers["as_before_deviance"]
    assert numbers["deviance"] < numbers["all_the_same_deviance"] - 0.1
    assert numbers["purchases_within"] >= 0.78
    assert numbers["value_within"] >= 0.78


def test_predictions_keep_their_contract(rhythms: tuple[Settings, JobReport]) -> None:
    settings, report = rhythms
    rows = stores.query(settings, PREDICTIONS)
    buyers = [
        row[0] for row in stores.query(settings, "select distinct profile_id from {schema}.fct_order_lines order by 1")
    ]
    assert [row[0] for row in rows] == [one for one in buyers for _ in range(3)]
    assert report.n_scored == len(buyers)
    for start in range(0, len(rows), 3):
        three = rows[start : start + 3]
        assert [row[1] for row in three] == [30, 90, 365]
        assert len({row[9] for row in three}) == 1
        p = [row[2] for row in three]
        expected = [row[3] for row in three]
        assert 0 <= p[0] <= p[1] <= p[2] <= 1
        assert 0 <= expected[0] <= expected[1] <= expected[2]
        for _, _, p_purchase, purchases, low, high, value, value_low, value_high, next_on, version, as_of in three:
            assert p_purchase <= purchases + 1e-9
            assert 0 <= low <= high
            assert 0 <= value_low <= value_high
            assert value >= 0
            assert next_on is None or next_on > AS_OF.date()
            assert (version, as_of) == (report.model_version, AS_OF)
    # a purchase is as likely as not by that day, and not a day before
    by_90 = {row[0]: (row[2], row[9]) for row in rows if row[1] == 90}
    last = AS_OF.date() + timedelta(days=90)
    for probability, next_on in by_90.values():
        assert (probability >= 0.5) == (next_on is not None and next_on <= last) or abs(probability - 0.5) < 0.01


def test_histories_are_those_of_the_orders(settings: Settings) -> None:
    """Days are counted once, returns as they stood, and what was spent on the first day is none of the repeats'."""
    stores.new_store(settings, AS_OF)
    stores.insert(
        settings,
        "fct_order_lines",
        """select * from (values
            ('a', 'o1', timestamp '2024-01-01 08:00:00', 10, timestamp '2999-01-01', 10),
            ('a', 'o2', timestamp '2024-01-01 20:00:00', 5, null, 5),
            ('a', 'o3', timestamp '2024-02-10 08:00:00', 30, null, 30),
            ('a', 'o4', timestamp '2024-04-30 08:00:00', 50, null, 50),
            ('b', 'o5', timestamp '2024-03-02 08:00:00', 7, null, 7))
            as t (profile_id, order_id, ordered_at, gross_revenue, last_returned_at, net_revenue),
            (select 'x' as product_id, 1 as quantity, 1 as net_quantity, 0 as returned_quantity)""",
    )
    stores.build_churn_tables(settings, AS_OF, 30, 2)
    buyers = read_buyers(settings, AS_OF, ("orders_lifetime", "average_order_value"))
    people = buyers.histories
    assert buyers.profile_ids.tolist() == ["a", "b"]
    assert buyers.as_of_on == date(2024, 6, 1)
    assert people.frequency.tolist() == [2, 0]
    assert people.recency.tolist() == [120, 0]
    assert people.age.tolist() == [152, 91]
    assert people.value[0] == 40
    assert np.isnan(people.value[1])
    past = read_snapshots(settings, AS_OF, ("orders_lifetime", "average_order_value"))
    # two cut-offs, 2024-05-02 and 2024-04-02, of which the earlier one has the purchase of 2024-04-30 ahead
    assert past.purchases.tolist() == [1, 0, 0, 0]
    assert past.revenue.tolist() == [50, 0, 0, 0]
    assert past.histories.frequency.tolist() == [1, 0, 2, 0]
    assert past.revenue_before.tolist() == [45, 7, 95, 7]


def test_the_deviance_is_least_for_the_true_mean() -> None:
    actual = np.asarray([0.0, 0.0, 0.0, 40.0, 160.0])
    means = np.arange(1.0, 200.0)
    total = np.asarray([deviance(np.full(5, mean), actual).mean() for mean in means])
    assert means[total.argmin()] == actual.mean()
    assert deviance(actual[3:], actual[3:]) == pytest.approx([0, 0], abs=1e-9)


def test_nothing_after_as_of_is_used(settings: Settings) -> None:
    """The canary: orders, and rows whose horizon ends, after as_of change nothing."""
    planted(settings, 600)
    before = jobs.run(JOB, settings)
    rows = stores.query(settings, PREDICTIONS)
    stores.insert_purchases(
        settings, np.asarray(["u00001"] * 40), np.asarray(["p000"] * 40),
        np.datetime64(AS_OF) + np.arange(40).astype("timedelta64[D]"),
    )  # fmt: skip
    at(settings, AS_OF)
    stores.insert(
        settings,
        "churn_training_set",
        f"""select * replace (as_of + to_days(31) as as_of, horizon_ends_at + to_days(31) as horizon_ends_at,
            revenue_ahead + 1000 as revenue_ahead) from "{settings.schema}".churn_training_set
            where as_of = (select max(as_of) from "{settings.schema}".churn_training_set)""",
    )
    after = jobs.run(JOB, settings)
    assert after.model_version == before.model_version
    assert after.metrics == before.metrics
    assert stores.query(settings, PREDICTIONS) == rows


def test_a_stored_model_says_today_what_it_said_when_it_was_fitted(settings: Settings) -> None:
    planted(settings, 800, AS_OF - timedelta(days=60))
    first = jobs.run(JOB, settings)
    at(settings, AS_OF)
    second = jobs.run(JOB, settings)
    assert second.status == "scored"
    assert f"{first.model_version} +0.0000 (+0.0000 to +0.0000)" in second.decision


def test_what_was_tried_is_not_replaced_by_what_cannot_be(settings: Settings) -> None:
    planted(settings, 600)
    first = jobs.run(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(f"delete from {settings.schema}.churn_training_set")
    second = jobs.run(JOB, settings)
    assert (second.status, second.model_version) == ("scored", first.model_version)
    assert "which was tried, stays" in str(second.reason)


@pytest.mark.parametrize("revenue", [0, 5])
def test_all_the_same_afterwards_is_no_back_test(settings: Settings, revenue: int) -> None:
    planted(settings, 600)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.schema}.churn_training_set set revenue_ahead = {revenue}")
    assert "no back-test" in jobs.run(JOB, settings).metrics["note"]


def test_a_shop_without_a_past_scores_untried(settings: Settings) -> None:
    planted(settings, 600)
    with stores.connect(settings) as con:
        con.execute(f"delete from {settings.schema}.churn_training_set")
    report = jobs.run(JOB, settings)
    assert report.status == "scored"
    assert "no back-test" in report.metrics["note"]
    assert "untried" in report.decision


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("delete from {s}.profile_features", "0 people bought"),
        ("delete from {s}.profile_features where profile_id > 'u00050'", "are needed"),
        (
            "update {s}.profile_features set purchase_days_lifetime = 1, recency_days = days_since_first_purchase",
            "bought, 0 again",
        ),
        (
            "update {s}.profile_features set first_day_revenue = 7, revenue_lifetime = 7 * purchase_days_lifetime",
            "spend the same",
        ),
        ("update {s}.profile_features set first_day_revenue = revenue_lifetime", "0 people paid"),
        (
            "update {s}.profile_features set days_since_first_purchase = 30, recency_days = 1",
            "30 days ago; 60 are needed",
        ),
    ],
    ids=["no buyers", "few buyers", "one-time buyers alone", "one price", "all for nothing", "a young shop"],
)
def test_too_little_is_refused_with_its_reason_and_the_old_model_stays(
    settings: Settings, spoil: str, reason: str
) -> None:
    planted(settings, 600, AS_OF - timedelta(days=1))
    first = jobs.run(JOB, settings)
    at(settings, AS_OF)
    with stores.connect(settings) as con:
        con.execute(spoil.format(s=settings.schema))
        n_left = con.execute(f"select count(*) from {settings.schema}.profile_features").fetchall()[0][0]
    report = jobs.run(JOB, settings)
    assert reason in str(report.reason)
    assert report.model_version == first.model_version
    assert report.n_scored == n_left
    assert len(stores.query(settings, PREDICTIONS)) == 3 * n_left


def test_features_of_another_day_or_without_columns_are_one_clear_error(settings: Settings) -> None:
    planted(settings, 200)
    stores.set_as_of(settings, AS_OF + timedelta(days=1))
    with pytest.raises(FeatureTableError, match="was built for"):
        jobs.train(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(f"alter table {settings.schema}.profile_features drop column first_day_revenue")
    with pytest.raises(FeatureTableError, match=r"profile_features\.first_day_revenue"):
        jobs.train(JOB, settings)


def test_a_purchase_that_is_centuries_off_has_no_day(settings: Settings) -> None:
    planted(settings, 800)
    jobs.run(JOB, settings)
    days = [row[9] for row in stores.query(settings, PREDICTIONS)]
    assert None in days
    assert max(day for day in days if day) <= AS_OF.date() + timedelta(days=3650)


def test_horizons_ascend() -> None:
    with pytest.raises(ValueError, match="ascending"):
        LifetimeValueConfig(horizons=(90, 30))


def test_real_buyers(settings: Settings, shared_dir: Callable[[str], Path]) -> None:
    """UCI Online Retail, 30 days from 2011-11-09: Christmas is near, and the model knows no season."""
    as_of = datetime(2011, 12, 9)
    stores.online_retail(settings, shared_dir("data/online_retail/online_retail.parquet"), as_of)
    stores.build_churn_tables(settings, as_of, 30, 12)
    report = jobs.run(JOB, settings)
    numbers = report.metrics
    assert report.status == "scored"
    assert report.reason is None
    assert numbers["auc"] >= 0.73
    assert numbers["deviance"] < min(numbers["as_before_deviance"], numbers["all_the_same_deviance"])
    assert 0.5 < numbers["expected_revenue"] / numbers["actual_revenue"] < 1.2
