"""Send times: planted preferences are found, nobody is given one without evidence, and the future is not seen."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import pytest

from ml_jobs import job as jobs
from ml_jobs.errors import FeatureTableError, TrainingRefusedError
from ml_jobs.report import JobReport
from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.features import Sends, read_outcomes
from ml_jobs.send_time.job import SendTimeJob
from ml_jobs.send_time.model import Cells, SendTimeModel, fit, simpler
from ml_jobs.send_time.randomize import random_hours
from ml_jobs.shrinkage import STRONGEST
from tests.ml_jobs import mails, stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
CONFIG = SendTimeConfig()
JOB = SendTimeJob()
PREDICTIONS = "select * exclude (trained_at) from {ml}.send_time_predictions order by profile_id"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, JobReport, np.ndarray]:
    """Trained and scored once, and the hour of each person; read only."""
    settings = Settings(home=tmp_path_factory.mktemp("preferences"), target="prod")
    hours = mails.planted_preferences(settings, AS_OF)
    return settings, jobs.run(JOB, settings), hours


def drawn(rate: np.ndarray, n_sends: int, seed: int = 3, hours: int = 24) -> Sends:
    """Mails to people at random hours of the first `hours`, all on Mondays: `rate` is (people, 24)."""
    rng = np.random.default_rng(seed)
    sends = rng.multinomial(n_sends, np.full(hours, 1 / hours), size=len(rate))
    clicks = rng.binomial(sends, rate[:, :hours])
    person, hour = np.nonzero(sends)
    return Sends(len(rate), person, hour, hour * 0, sends[person, hour], clicks[person, hour])


def test_planted_hours_are_found(planted: tuple[Settings, JobReport, np.ndarray]) -> None:
    settings, report, own_hour = planted
    assert report.status == "scored"
    assert report.reason is None
    assert report.metrics["method"] == "personal"
    assert report.metrics["best_hour_of_all"] == 19
    assert report.metrics["personal_log_loss"] < report.metrics["own_rate_log_loss"] - 0.001
    assert report.metrics["own_rate_log_loss"] < report.metrics["population_log_loss"]
    rows = stores.query(settings, PREDICTIONS)
    best = np.asarray([row[1] for row in rows])
    n_clicks = np.asarray([row[8] for row in rows])
    off = np.abs(best - own_hour)
    is_near = np.minimum(off, 24 - off) <= 1
    # half of all have 19 for their hour, and somewhat more are near to it
    assert is_near[n_clicks >= 5].mean() > 0.75
    elsewhere = (own_hour < 16) & (n_clicks >= 5)
    assert elsewhere.sum() > 100
    assert is_near[elsewhere].mean() > 0.4


def test_predictions_keep_their_contract(planted: tuple[Settings, JobReport, np.ndarray]) -> None:
    settings, report, _ = planted
    rows = stores.query(settings, PREDICTIONS)
    assert len(rows) == report.n_scored == 1500
    assert len({row[0] for row in rows}) == 1500
    for _, hour, weekday, send_hour, is_random, p_click, p_population, n_sends, n_clicks, version, as_of in rows:
        assert hour in range(24)
        assert weekday in range(1, 8)
        assert send_hour == hour or is_random
        assert 0 <= p_population <= p_click <= 1
        assert 0 <= n_clicks <= n_sends
        assert (version, as_of) == (report.model_version, AS_OF)


def test_without_mails_exactly_the_populations(planted: tuple[Settings, JobReport, np.ndarray]) -> None:
    settings, report, _ = planted
    rows = [row for row in stores.query(settings, PREDICTIONS) if row[7] == 0]
    assert len(rows) == 150
    assert {row[1] for row in rows} == {report.metrics["best_hour_of_all"]}
    assert {row[2] for row in rows} == {report.metrics["best_weekday_of_all"]}
    assert len({row[5] for row in rows}) == 1
    assert all(row[5] == row[6] for row in rows)


def test_a_tenth_of_the_people_have_a_random_hour_for_a_month() -> None:
    ids = [f"u{i}" for i in range(20_000)]
    is_random, hour = random_hours(ids, AS_OF, CONFIG)
    assert is_random.mean() == pytest.approx(0.1, abs=0.01)
    counts = np.bincount(hour[is_random], minlength=24)
    assert len(counts) == 24
    assert counts.min() > 50
    later, same = random_hours(ids, AS_OF + timedelta(days=29), CONFIG)
    assert (later == is_random).all()
    assert (same == hour).all()
    next_month, _ = random_hours(ids, AS_OF + timedelta(days=30), CONFIG)
    # those of another month are others
    assert (next_month & is_random).sum() == pytest.approx(200, abs=80)
    one, _ = random_hours(ids[5:6], AS_OF, CONFIG)
    assert one[0] == is_random[5]
    assert not random_hours(ids, AS_OF, SendTimeConfig(randomized_share=0))[0].any()
    assert random_hours(ids, AS_OF, SendTimeConfig(randomized_share=1))[0].all()
    assert len(random_hours([], AS_OF, CONFIG)[0]) == 0


def test_where_one_happened_to_send_is_no_preference() -> None:
    """All are alike at all hours, but most mail went out at 9: no hour is better, and nobody has a preference."""
    rng = np.random.default_rng(4)
    n = 5000
    sends = np.column_stack([rng.integers(0, 60, n), rng.integers(0, 6, n)])
    clicks = rng.binomial(sends, 0.05 * rng.gamma(1, 1, (n, 1)).clip(0, 10))
    person, at = np.nonzero(sends)
    past = Sends(n, person, np.asarray([9, 20])[at], at * 0, sends[person, at], clicks[person, at])
    model = fit(past, CONFIG)
    assert model.hours[9] == pytest.approx(1, abs=0.02)
    assert model.hours[20] == pytest.approx(1, abs=0.1)
    assert model.hours[3] == 1
    assert model.hour_strength > 200
    # who clicks often does so at any hour: the same mails, at the hour where there were few, mean the same
    factors = model.factors(past)
    often = factors.hours[:, 9] > 2
    assert often.sum() > 100
    assert factors.hours[often, 20] == pytest.approx(factors.hours[often, 9], rel=0.35)


def test_people_who_do_not_differ_are_told_from_those_who_do() -> None:
    alike, rates = np.full((4000, 24), 0.05), np.full((4000, 24), 0.02)
    rates[np.arange(4000), np.arange(4000) % 24] = 0.5
    assert fit(drawn(alike, 60), CONFIG).hour_strength > 500
    found = fit(drawn(rates, 60), CONFIG)
    assert found.hour_strength < 20
    assert fit(drawn(rates, 60), SendTimeConfig(max_people_to_fit=2000)).hour_strength == pytest.approx(
        found.hour_strength, rel=0.2
    )


def test_own_rates_without_preferences_are_what_a_beta_binomial_says() -> None:
    rng = np.random.default_rng(6)
    past = drawn(np.repeat(rng.beta(2, 18, (3000, 1)), 24, axis=1), 40)
    model = simpler(fit(past, CONFIG), "own_rate")
    assert model.person_strength == pytest.approx(20, rel=0.15)
    factors = model.factors(past)
    person = np.arange(past.n_people)
    sends, clicks = np.bincount(past.person, past.sends), np.bincount(past.person, past.clicks)
    expected = (model.person_strength * model.rate + clicks) / (model.person_strength + sends)
    said = model.rates(factors, person, person * 0 + 12, person * 0)
    # hours differ a little by chance
    assert said / model.hours[12] == pytest.approx(expected, rel=0.02)
    assert (factors.hours == factors.hours[:, :1]).all()
    nobody = simpler(model, "population").factors(past)
    assert (nobody.hours == 1).all()
    assert (nobody.weekdays == 1).all()


def test_an_hour_is_held_against_the_other_hours_alone() -> None:
    """Ten mails at 9, five of them clicked, and ten at 20, none of them; one in ten is expected."""
    hour = np.asarray([9, 20])
    past = Sends(1, hour * 0, hour, hour * 0, np.asarray([10, 10]), np.asarray([5, 0]))
    model = SendTimeModel(0.1, (1.0,) * 24, (1.0,) * 7, (0,) * 24, (0,) * 7, 10.0, 50.0, STRONGEST, 0)
    cells = model.hour_cells(past, model.population()[past.hour, past.weekday])
    assert model.others(cells)[0, [9, 20, 3]].tolist() == pytest.approx([1 / 2, 6 / 2, 6 / 3])
    assert model.known_of_others(cells)[0, [9, 20, 3]].tolist() == [20, 20, 30]
    assert model.factors(past).hours[0, 9] > model.factors(past).hours[0, 3] > model.factors(past).hours[0, 20]


def test_hours_within_reach_count_as_one() -> None:
    """Around midnight too; at most once each; and 0 is each hour by itself."""
    hour = np.asarray([23, 0, 1, 5])
    past = Sends(2, np.asarray([0, 0, 0, 1]), hour, hour * 0, np.asarray([4, 8, 16, 32]), np.asarray([1, 1, 2, 3]))
    rates = np.full(4, 0.25)
    near = Cells.of(past, hour, 24, rates, reach=1)
    assert near.sends[0, [22, 23, 0, 1, 2, 3]].tolist() == [4, 12, 28, 24, 16, 0]
    assert near.clicks[1, [3, 4, 5, 6, 7]].tolist() == [0, 3, 3, 3, 0]
    assert near.sends_in_all.tolist() == [[28], [32]]
    assert Cells.of(past, hour, 24, rates).expected[0, [23, 0, 1]].tolist() == [1, 2, 4]
    assert (Cells.of(past, hour, 24, rates, reach=11).sends <= near.sends_in_all).all()


def test_an_hour_at_which_nobody_was_written_to_is_not_the_best() -> None:
    past = drawn(np.full((500, 24), 0.05), 20, hours=2)
    model = fit(past, CONFIG)
    assert model.hour_order()[0] in (0, 1)
    assert model.best(model.factors(past.cells(past.person < 0)))[0].tolist() == [model.hour_order()[0]] * 500


@pytest.mark.parametrize(("n_sends", "best"), [(5, 20), (99, 20), (100, 3), (400, 3)])
def test_a_few_lucky_clicks_make_no_hour(n_sends: int, best: int) -> None:
    """Ten thousand mails at ten, of which few were clicked, as many at eight in the evening, of which 8 % were; and
    some at three in the morning, of which 40 % were. Of all mails 5 % were, so that 100 are to bring five clicks."""
    hour, sends = np.asarray([10, 20, 3]), np.asarray([10_000, 10_000, n_sends])
    lucky = n_sends * 2 // 5
    clicks = np.asarray([round(0.05 * sends.sum()) - 800 - lucky, 800, lucky])
    model = fit(Sends(1, hour * 0, hour, hour * 0, sends, clicks), CONFIG)
    assert model.hours[3] > model.hours[20] > model.hours[10]
    assert model.hour_order()[0] == best
    factors = model.factors(Sends(1, hour[:1] * 0, hour[2:], hour[:1] * 0, sends[2:], clicks[2:]))
    assert model.best(factors)[0] == [best]
    assert SendTimeModel.from_dict({**model.to_dict(), "min_sends": 1}).hour_order()[0] == 3


def test_where_no_hour_has_enough_mails_it_is_the_one_with_the_most() -> None:
    hour = np.asarray([1, 5, 3])
    few = Sends(1, hour * 0, hour, hour, np.asarray([40, 30, 20]), np.asarray([20, 20, 20]))
    assert fit(few, CONFIG).hour_order().tolist() == [3, 5, 1]
    model = fit(few, SendTimeConfig(min_expected_clicks=50))
    assert (model.hour_order().tolist(), model.weekday_order().tolist()) == ([1], [1])


def test_who_rarely_clicks_is_given_no_hour_at_which_nobody_was_written_to() -> None:
    """Mails at 10 and 18 on three days of the week; half the people like either hour, and most of them click little."""
    rng = np.random.default_rng(9)
    n, hours, days = 3000, np.asarray([10, 18]), np.asarray([1, 3, 5])
    own = rng.integers(0, 2, n)
    rate = 0.05 * rng.gamma(1, 1, n)[:, None, None] * np.where(np.arange(2) == own[:, None], 4, 0.5)[:, :, None]
    sends = np.full((n, 2, 3), 10)
    clicks = rng.binomial(sends, rate.clip(0, 0.9))
    person, hour, day = np.nonzero(sends)
    past = Sends(n, person, hours[hour], days[day], sends[person, hour, day], clicks[person, hour, day])
    model = fit(past, CONFIG)
    best_hour, best_day = model.best(model.factors(past))
    assert set(best_hour.tolist()) == set(hours.tolist())
    assert set(best_day.tolist()) <= set(days.tolist())
    n_clicks = clicks.sum(axis=(1, 2))
    assert (n_clicks == 0).sum() > 300
    assert set(best_hour[n_clicks == 0].tolist()) == {model.hour_order()[0]}
    assert (best_hour == hours[own])[n_clicks >= 3].mean() >= 0.8


def test_nothing_after_as_of_is_used(settings: Settings) -> None:
    """The canary: mails that are settled at as_of or later change nothing."""
    mails.planted_preferences(settings, AS_OF, n_people=400)
    before = jobs.run(JOB, settings)
    rows = stores.query(settings, PREDICTIONS)
    at = np.datetime64(AS_OF, "s") - np.timedelta64(3, "D") + np.arange(200) * np.timedelta64(1, "h")
    mails.insert_sends(settings, np.asarray(["u00001"] * 200), at, np.ones(200, bool))
    after = jobs.run(JOB, settings)
    assert after.model_version == before.model_version
    assert after.metrics == before.metrics
    assert stores.query(settings, PREDICTIONS) == rows


def test_the_back_test_knows_nothing_of_its_window(settings: Settings) -> None:
    """A mail that was sent before the window, and settled in it, is neither known nor tested."""
    mails.new_mail_store(settings, AS_OF)
    mails.insert_people(settings, ["a"])
    begins = AS_OF - timedelta(days=28)
    at = np.asarray([begins - timedelta(days=d) for d in (4, 3, 2, 0)] + [AS_OF - timedelta(days=1)], "datetime64[s]")
    mails.insert_sends(settings, np.asarray(["a"] * 5), at, np.asarray([True, False, True, True, True]))
    data = read_outcomes(settings, AS_OF, begins)
    assert (data.before.sends.sum(), data.before.clicks.sum()) == (1, 1)
    assert (data.tested.sends.sum(), data.tested.clicks.sum()) == (1, 1)
    assert data.sends.sends.sum() == 4


def test_a_stored_model_says_what_it_said_when_it_was_fitted(settings: Settings) -> None:
    mails.planted_preferences(settings, AS_OF, n_people=600)
    stores.set_as_of(settings, AS_OF - timedelta(days=28))
    first = jobs.run(JOB, settings)
    stores.set_as_of(settings, AS_OF)
    second = jobs.run(JOB, settings)
    assert second.status == "scored"
    assert re.search(rf"{first.model_version} .0\.0000 \(.0\.0000 to .0\.0000\)", second.decision)


def test_preferences_that_turned_round_give_way_to_what_is_simpler(settings: Settings) -> None:
    """Until the window began everybody had an hour; in it they click at all other hours."""
    mails.planted_preferences(settings, AS_OF, n_people=800, liking=25)
    with stores.connect(settings) as con:
        con.execute(
            f"""update {settings.schema}.send_outcomes set local_hour = (local_hour + 12) % 24
                where sent_at >= timestamp '{AS_OF - timedelta(days=28)}'"""
        )
    report = jobs.run(JOB, settings)
    assert report.metrics["method"] in ("own_rate", "population")
    assert report.metrics["log_loss"] < report.metrics["personal_log_loss"]
    hours = {row[1] for row in stores.query(settings, PREDICTIONS)}
    assert len(hours) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("delete from {s}.send_outcomes", "0 of 0 mails were clicked; 50 are needed"),
        ("update {s}.send_outcomes set is_clicked = false", "mails were clicked; 50 are needed"),
        ("update {s}.send_outcomes set is_clicked = true", "no hour is better"),
    ],
    ids=["no mails", "no clicks", "all clicked"],
)
def test_too_little_is_refused_and_the_old_model_stays(settings: Settings, spoil: str, reason: str) -> None:
    mails.planted_preferences(settings, AS_OF, n_people=300)
    stores.set_as_of(settings, AS_OF - timedelta(days=1))
    first = jobs.run(JOB, settings)
    stores.set_as_of(settings, AS_OF)
    with stores.connect(settings) as con:
        con.execute(spoil.format(s=settings.schema))
    report = jobs.run(JOB, settings)
    assert reason in str(report.reason)
    assert (report.model_version, report.n_scored) == (first.model_version, 300)


def test_nobody_to_write_to_is_no_rows(settings: Settings) -> None:
    mails.planted_preferences(settings, AS_OF, n_people=300)
    jobs.run(JOB, settings)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.schema}.dim_profiles set email = null")
    assert jobs.score(JOB, settings).n_scored == 0
    assert stores.query(settings, PREDICTIONS) == []


def test_a_window_without_clicks_cannot_tell(settings: Settings) -> None:
    mails.planted_preferences(settings, AS_OF, n_people=300)
    with stores.connect(settings) as con:
        con.execute(
            f"""delete from {settings.schema}.send_outcomes where sent_at >= timestamp '{AS_OF - timedelta(days=28)}'"""
        )
    report = jobs.run(JOB, settings)
    assert report.status == "scored"
    assert "no back-test" in report.metrics["note"]
    assert "untried" in report.decision
    with stores.connect(settings) as con:
        con.execute(
            f"""update {settings.schema}.send_outcomes set
                    sent_at = sent_at + to_days(28), settled_at = settled_at + to_days(28)
                where settled_at + to_days(28) < timestamp '{AS_OF}'"""
        )
        con.execute(
            f"""delete from {settings.schema}.send_outcomes where sent_at < timestamp '{AS_OF - timedelta(days=28)}'"""
        )
    assert "when the newest window began, 0 of 0 mails" in jobs.run(JOB, settings).metrics["note"]


def test_a_missing_column_is_one_clear_error(settings: Settings) -> None:
    mails.new_mail_store(settings, AS_OF)
    with stores.connect(settings) as con:
        con.execute(f"alter table {settings.schema}.send_outcomes drop column local_hour")
    with pytest.raises(FeatureTableError, match=r"send_outcomes\.local_hour"):
        jobs.train(JOB, settings)


def test_to_fit_without_mails_is_refused() -> None:
    nothing = np.zeros(0, np.int64)
    with pytest.raises(TrainingRefusedError, match="0 of 0"):
        fit(Sends(3, nothing, nothing, nothing, nothing, nothing), CONFIG)
