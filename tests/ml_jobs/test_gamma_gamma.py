"""Gamma-Gamma: the published parameters on CDNOW, the truth on simulated buyers, and tails without a mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.gamma_gamma import GammaGamma, Likelihood, expected_value, fit
from ml_jobs.lifetime_value.histories import Histories
from tests.ml_jobs import buyers

NAMES = ("p", "q", "gamma")
PURCHASES = buyers.Rates(0.8, 6.0, 0.9, 2.5)
MODEL = GammaGamma(6.25, 3.74, 15.44, 6.25 * 15.44 / 2.74, -4000.0, 946, 0, 0.1, is_converged=True)


def people_of(frequency: object, value: object) -> Histories:
    x, z = np.broadcast_arrays(np.asarray(frequency, float), np.asarray(value, float))
    return Histories(x, x, x + 1, z)


@pytest.fixture(scope="module")
def simulated() -> Histories:
    rng = np.random.default_rng(12)
    return buyers.simulate(rng, rng.uniform(5, 60, 30_000), PURCHASES, spend=(6.0, 4.0, 15.0)).people


def test_published_parameters(shared_dir: Callable[[str], Path]) -> None:
    people, _ = buyers.cdnow(shared_dir("data/cdnow/cdnow_sample.parquet"))
    model = fit(people)
    assert (model.n, model.n_worthless) == (946, 0)
    assert model.is_converged
    assert model.at_boundary == ()
    assert [round(getattr(model, name), 2) for name in NAMES] == [6.25, 3.74, 15.44]
    assert model.mean_value == pytest.approx(35.2, abs=0.1)
    # 0.06 in the paper, without a few buyers of outliers
    assert model.correlation == pytest.approx(0.11, abs=0.01)


def test_gradient_is_that_of_the_likelihood(simulated: Histories) -> None:
    again = simulated.frequency > 0
    likelihood = Likelihood(simulated.frequency[again], simulated.value[again])
    for at in ([6.0, 4.0, 15.0], [0.1, 1.01, 300.0], [500.0, 90.0, 0.5]):
        point = np.array(at)
        _, gradient = likelihood(point)
        for i, step in enumerate(np.diag(point * 1e-5)):
            slope = (likelihood(point + step)[0] - likelihood(point - step)[0]) / (2 * step[i])
            assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_likelihood_is_a_density() -> None:
    """Of the mean value of a buyer with three purchases: it integrates to 1."""
    from scipy.integrate import quad

    def density(z: float) -> float:
        return float(np.exp(Likelihood(np.array([3.0]), np.array([z]))(np.array([6.25, 3.74, 15.44]))[0]))

    assert quad(density, 0, np.inf)[0] == pytest.approx(1)


def test_truth_is_found(simulated: Histories) -> None:
    model = fit(simulated)
    assert model.is_converged
    np.testing.assert_allclose([getattr(model, name) for name in NAMES], (6.0, 4.0, 15.0), rtol=0.07)
    assert model.mean_value == pytest.approx(6 * 15 / 3, rel=0.02)
    assert model.correlation == pytest.approx(0, abs=0.03)


def test_expected_value_is_that_of_the_purchases_to_come() -> None:
    """By frequency, of those who buy again, against the mean value of what they buy."""
    rng = np.random.default_rng(13)
    world = buyers.simulate(rng, rng.uniform(5, 60, 60_000), PURCHASES, spend=(6.0, 4.0, 15.0), horizons=(30.0,))
    model = replace(MODEL, p=6.0, q=4.0, gamma=15.0, mean_value=30.0)
    expected, bought = expected_value(model, world.people), world.purchases[:, 0]
    for x in range(6):
        those = (world.people.frequency == x) & (bought > 0)
        off = world.value[those, 0] / bought[those] - expected[those]
        assert abs(off.mean()) < 4 * off.std() / those.sum() ** 0.5


def test_currency_order_and_one_time_buyers_do_not_matter(simulated: Histories) -> None:
    again = np.flatnonzero(simulated.frequency > 0)[:3000]
    x, z = simulated.frequency[again], simulated.value[again]
    model = fit(people_of(x, z))
    shuffled = np.random.default_rng(3).permutation(len(x))
    assert fit(people_of(x[shuffled], z[shuffled])) == model
    assert fit(people_of(np.append(x, np.zeros(50)), np.append(z, np.full(50, 1e9)))) == model
    cents = fit(people_of(x, z * 100))
    np.testing.assert_allclose([cents.p, cents.q, cents.gamma / 100], [model.p, model.q, model.gamma], rtol=1e-5)
    assert cents.mean_value == pytest.approx(100 * model.mean_value)
    assert cents.log_likelihood == pytest.approx(model.log_likelihood - len(x) * np.log(100))


def test_a_tail_without_a_mean_is_bounded_and_flagged() -> None:
    rng = np.random.default_rng(14)
    x = rng.integers(1, 8, 3000).astype(float)
    thrift = rng.gamma(0.6, 1 / 10, 3000)
    people = people_of(x, rng.gamma(6 * x, 1 / thrift) / x)
    model = fit(people)
    assert model.at_boundary == ("q",)
    assert model.q == pytest.approx(1.01)
    assert model.mean_value == pytest.approx(people.value.mean())
    # with a purchase of one's own, the tail of all others hardly counts
    assert expected_value(model, people_of([1.0], [30.0]))[0] == pytest.approx(30, rel=0.01 * model.mean_value / 30)


@given(st.integers(1, 500), st.floats(0, 1e5))
def test_expected_value_lies_between_the_own_mean_and_that_of_all(x: int, z: float) -> None:
    (expected,) = expected_value(MODEL, people_of([x], [z]))
    low, high = sorted((z, MODEL.mean_value))
    assert low * (1 - 1e-12) <= expected <= high * (1 + 1e-12)
    (surer,) = expected_value(MODEL, people_of([x + 1], [z]))
    assert abs(surer - z) <= abs(expected - z) * (1 + 1e-12)
    assert expected == pytest.approx(MODEL.p * (MODEL.gamma + x * z) / (MODEL.p * x + MODEL.q - 1))


def test_one_time_buyers_get_the_mean_of_all() -> None:
    assert expected_value(MODEL, people_of([0, 0], [np.nan, 400])).tolist() == [MODEL.mean_value] * 2


def test_purchases_that_came_to_nothing_are_left_out(simulated: Histories) -> None:
    again = np.flatnonzero(simulated.frequency > 0)[:500]
    x, z = simulated.frequency[again], simulated.value[again]
    model = fit(people_of(np.append(x, [1, 2, 3]), np.append(z, [0, 0, 0])))
    assert model == replace(fit(people_of(x, z)), n_worthless=3)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="0 people paid for a repeat purchase; 50 are needed"):
        fit(people_of(np.zeros(500), np.nan))
    with pytest.raises(TrainingRefusedError, match="0 people paid"):
        fit(people_of(np.ones(500), 0))
    with pytest.raises(TrainingRefusedError, match="spend the same"):
        fit(people_of(np.ones(500), 9.99))
    alike = fit(people_of(np.ones(60), np.linspace(5, 15, 60)), LifetimeValueConfig(min_repeat_buyers=60))
    assert alike.correlation is None


def test_stored_and_read_back() -> None:
    assert GammaGamma.from_dict(json.loads(json.dumps(MODEL.to_dict()))) == MODEL
