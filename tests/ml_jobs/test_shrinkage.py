"""Rates of few trials: between the mean and what was seen, and the nearer to it the more was seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from ml_jobs.shrinkage import STRONGEST, fit_strength, joint, posterior

RATES = st.floats(0.001, 0.999)
STRENGTHS = st.floats(0.1, 1e6)
TRIALS = st.integers(1, 10_000)


@given(mean=RATES, strength=STRENGTHS, trials=TRIALS, share=st.floats(0, 1))
def test_between_the_mean_and_what_was_seen(mean: float, strength: float, trials: int, share: float) -> None:
    hits = np.asarray(round(share * trials))
    found = float(posterior(hits, np.asarray(trials), np.asarray(mean), strength))
    low, high = sorted((mean, float(hits) / trials))
    assert low - 1e-12 <= found <= high + 1e-12


@given(mean=RATES, strength=STRENGTHS, trials=TRIALS, times=st.integers(2, 50), share=st.floats(0, 1))
def test_more_of_the_same_evidence_draws_nearer_to_it(
    mean: float, strength: float, trials: int, times: int, share: float
) -> None:
    hits = round(share * trials)
    once, often = (
        abs(float(posterior(np.asarray(hits * n), np.asarray(trials * n), np.asarray(mean), strength)) - hits / trials)
        for n in (1, times)
    )
    assert often <= once + 1e-12


@given(mean=RATES, strength=STRENGTHS, trials=TRIALS, hits=st.integers(0, 9_999))
def test_one_more_hit_is_never_a_lower_rate(mean: float, strength: float, trials: int, hits: int) -> None:
    hits = min(hits, trials - 1)
    few, more = (
        float(posterior(np.asarray(n), np.asarray(trials), np.asarray(mean), strength)) for n in (hits, hits + 1)
    )
    assert few < more


@given(mean=RATES, strength=STRENGTHS)
def test_without_trials_the_mean(mean: float, strength: float) -> None:
    nothing = np.asarray(0)
    assert float(posterior(nothing, nothing, np.asarray(mean), strength)) == pytest.approx(mean, rel=1e-12)


@given(strength=STRENGTHS, known=STRENGTHS)
def test_a_mean_is_worth_no_more_than_it_is_known(strength: float, known: float) -> None:
    assert 0 < float(joint(strength, known)) <= min(strength, known)
    assert float(joint(strength, float("inf"))) == pytest.approx(strength)


@pytest.mark.parametrize("strength", [2.0, 20.0, 200.0])
def test_the_strength_is_found_again(strength: float) -> None:
    rng = np.random.default_rng(8)
    n = 20_000
    mean, trials = rng.choice([0.1, 0.3], n), rng.integers(5, 60, n)
    hits = rng.binomial(trials, rng.beta(strength * mean, strength * (1 - mean)))
    assert fit_strength(hits, trials, mean) == pytest.approx(strength, rel=0.1)


def test_it_is_the_most_likely_one() -> None:
    rng = np.random.default_rng(9)
    mean, trials = np.full(500, 0.2), rng.integers(1, 30, 500)
    hits = rng.binomial(trials, rng.beta(8 * mean, 8 * (1 - mean)))
    found = fit_strength(hits, trials, mean)

    def likelihood(strength: float) -> float:
        return float(betabinom.logpmf(hits, trials, strength * mean, strength * (1 - mean)).sum())

    assert likelihood(found) >= max(likelihood(found * 1.05), likelihood(found / 1.05))


def test_nobody_differs_where_chance_explains_it_and_without_evidence() -> None:
    rng = np.random.default_rng(10)
    trials = np.full(20_000, 100)
    assert fit_strength(rng.binomial(trials, 0.1), trials, np.full(20_000, 0.1)) > 3_000
    nothing = np.zeros(0)
    assert fit_strength(nothing, nothing, nothing) == STRONGEST
    # one mail each says nothing about how far people differ
    assert fit_strength(np.asarray([1, 0, 0, 0]), np.ones(4), np.full(4, 0.25)) == STRONGEST


def test_means_that_are_known_from_little_are_not_taken_for_differences() -> None:
    """Rates guessed from ten other trials each: what that guess is wrong by is no preference."""
    rng = np.random.default_rng(11)
    n = 20_000
    rate = rng.beta(2, 8, n)
    others, trials = np.full(n, 10), np.full(n, 10)
    guess = (rng.binomial(others, rate) + 2) / (others + 10)
    hits = rng.binomial(trials, rate)
    assert fit_strength(hits, trials, guess) < 100
    assert fit_strength(hits, trials, guess, others + 10) > 1_000
