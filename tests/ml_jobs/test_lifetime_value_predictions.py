"""Predictions per person: intervals that cover, of the model's own distribution, whoever else is asked about."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from pydantic import ValidationError

from ml_jobs.lifetime_value import purchases
from ml_jobs.lifetime_value.bg_nbd import BgNbd
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.gamma_gamma import GammaGamma, expected_value
from ml_jobs.lifetime_value.histories import Histories
from ml_jobs.lifetime_value.predict import Predictions, predict
from tests.ml_jobs import buyers

TRUTH = buyers.Rates(0.9, 20.0, 0.6, 2.5)
MODEL = BgNbd(*TRUTH, log_likelihood=0.0, n=1, n_repeat=1, is_converged=True)
SPEND = GammaGamma(6.0, 4.0, 15.0, 30.0, 0.0, 1, 0, None, is_converged=True)
CONFIG = LifetimeValueConfig()
LEVELS = (0.1, 0.9)


@pytest.fixture(scope="module")
def world() -> buyers.Simulated:
    rng = np.random.default_rng(31)
    age = np.floor(rng.uniform(10, 400, 16_000))
    return buyers.simulate(rng, age, TRUTH, spend=(6.0, 4.0, 15.0), horizons=tuple(map(float, CONFIG.horizons)))


@pytest.fixture(scope="module")
def predicted(world: buyers.Simulated) -> Predictions:
    return predict(MODEL, SPEND, world.people)


def test_intervals_cover_what_they_say(world: buyers.Simulated, predicted: Predictions) -> None:
    low, high, actual = predicted.purchases_low, predicted.purchases_high, world.purchases
    covered = ((low <= actual) & (actual <= high)).mean(axis=0)
    # more than asked for where a number's probability spans the level
    assert (covered > 0.8).all()
    assert (covered < 0.98).all()
    value_covered = ((predicted.value_low <= world.value) & (world.value <= predicted.value_high)).mean(axis=0)
    assert (value_covered > 0.8).all()
    n = len(actual)
    for column in range(len(CONFIG.horizons)):
        # values are continuous: where the bound is not 0, it is passed exactly as often as said
        is_open = predicted.value_high[:, column] > 0
        above = (world.value > predicted.value_high)[is_open, column].mean()
        assert above == pytest.approx(0.1, abs=4 * 0.3 / is_open.sum() ** 0.5)
        is_open = predicted.value_low[:, column] > 0
        if is_open.any():
            below = (world.value < predicted.value_low)[is_open, column].mean()
            assert below == pytest.approx(0.1, abs=4 * 0.3 / is_open.sum() ** 0.5)
    # a narrower bound would not do: one purchase less is passed too often
    tight = (actual > high - 1)[high[:, -1] > 0].mean()
    assert tight > 0.1
    assert n == len(low)


def test_quantiles_are_those_of_draws_from_the_posterior() -> None:
    """The posterior drawn from as it is defined, for single people from new to heavy."""
    people = Histories(
        np.array([0.0, 1.0, 4.0, 40.0, 300.0]),
        np.array([0.0, 200.0, 290.0, 395.0, 398.0]),
        np.array([3.0, 210.0, 300.0, 400.0, 400.0]),
        np.array([np.nan, 25.0, 60.0, 30.0, 12.0]),
    )
    found = predict(MODEL, SPEND, people)
    rng, n = np.random.default_rng(5), 200_000
    for who in range(len(people.frequency)):
        x, age = people.frequency[who], people.age[who]
        alive = rng.random(n) < found.p_alive[who]
        rate = rng.gamma(MODEL.r + x, 1 / (MODEL.alpha + age), n)
        until_gone = rng.geometric(rng.beta(MODEL.a, MODEL.b + x, n))
        paid = SPEND.gamma + x * np.nan_to_num(people.value[who])
        thrift = rng.gamma(SPEND.q + SPEND.p * x, 1 / paid, n)
        for column, horizon in enumerate(CONFIG.horizons):
            number = np.where(alive, np.minimum(rng.poisson(rate * horizon), until_gone), 0)
            value = np.where(number > 0, rng.gamma(SPEND.p * np.maximum(number, 1)) / thrift, 0.0)
            assert found.expected_purchases[who, column] == pytest.approx(number.mean(), rel=0.02)
            assert found.expected_value[who, column] == pytest.approx(value.mean(), rel=0.03)
            assert found.p_purchase[who, column] == pytest.approx((number > 0).mean(), abs=0.006)
            bounds = (found.purchases_low[who, column], found.purchases_high[who, column])
            for level, bound in zip(LEVELS, bounds, strict=True):
                assert (number <= bound).mean() > level - 0.004
                assert (number < bound).mean() < level + 0.004
            bounds = (found.value_low[who, column], found.value_high[who, column])
            for level, bound in zip(LEVELS, bounds, strict=True):
                if bound > 0:
                    assert (value <= bound).mean() == pytest.approx(level, abs=0.006)
                else:
                    assert (value == 0).mean() > level - 0.004


def test_a_persons_figures_are_the_persons_own(world: buyers.Simulated, predicted: Predictions) -> None:
    """Alone, in another order, or in a part of all: the same."""
    rng = np.random.default_rng(6)
    for some in (rng.permutation(len(world.people.age))[:2000], np.array([17]), np.arange(500)):
        part = Histories(*(getattr(world.people, name)[some] for name in ("frequency", "recency", "age", "value")))
        for name, figures in asdict(predict(MODEL, SPEND, part)).items():
            np.testing.assert_allclose(figures, getattr(predicted, name)[some], rtol=1e-9, err_msg=name)


def test_value_is_number_times_value_of_one(world: buyers.Simulated, predicted: Predictions) -> None:
    each = expected_value(SPEND, world.people)
    np.testing.assert_allclose(predicted.expected_value, predicted.expected_purchases * each[:, None])
    np.testing.assert_allclose(
        predicted.expected_purchases[:, 1], purchases.expected_purchases(MODEL, world.people, CONFIG.horizons[1])
    )


def test_longer_horizons_bring_more(predicted: Predictions) -> None:
    for name in ("p_purchase", "expected_purchases", "purchases_low", "purchases_high", "value_low", "value_high"):
        figures = getattr(predicted, name)
        assert (np.diff(figures, axis=1) >= -1e-9 * figures[:, 1:]).all(), name
    assert (predicted.purchases_low <= predicted.purchases_high).all()
    assert (predicted.value_low <= predicted.value_high).all()
    assert ((predicted.value_high > 0) == (predicted.purchases_high > 0)).all()


def test_numbers_beyond_the_tables_columns_are_exact() -> None:
    """Of a buyer of hundreds: the least number that is not passed with more than 10 %."""
    people = Histories(np.array([400.0]), np.array([399.0]), np.array([400.0]), np.array([5.0]))
    faithful = replace(MODEL, a=0.01)
    found = predict(faithful, SPEND, people)
    alive = purchases.p_alive(faithful, people)[:, None]
    for column, horizon in enumerate(CONFIG.horizons):
        high = found.purchases_high[0, column]
        more, as_many = purchases.p_at_least(
            faithful, 400.0, people.age[:, None], alive, horizon, np.array([high + 1, high])
        )[0]
        assert more <= 0.1 < as_many
    assert found.purchases_high[0, -1] > 300


def test_without_values_there_is_no_money(world: buyers.Simulated, predicted: Predictions) -> None:
    found = predict(MODEL, None, world.people)
    assert np.isnan(found.expected_value).all()
    assert np.isnan(found.value_low).all()
    assert np.isnan(found.value_high).all()
    np.testing.assert_array_equal(found.purchases_high, predicted.purchases_high)


def test_nobody_to_predict() -> None:
    nobody = Histories(*[np.empty(0)] * 4)
    assert predict(MODEL, SPEND, nobody).expected_value.shape == (0, 3)


@pytest.mark.parametrize("horizons", [(), (0, 30), (90, 30), (30, 30)])
def test_horizons_ascend(horizons: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        LifetimeValueConfig(horizons=horizons)
