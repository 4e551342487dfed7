"""Rates of few trials, shrunk towards a mean by as much as the data say that rates differ (beta-binomial).

A rate of mean m is a draw from Beta(s m, s (1 - m)): s, the strength, is how many trials the mean is worth. It is
estimated by maximum marginal likelihood, where the beta distribution integrates out in closed form (Casella 1985,
https://doi.org/10.2307/2682801, on empirical Bayes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WEAKEST, STRONGEST = 0.1, 1e6
"""Bounds of a strength: at the upper one nobody differs that one could tell."""
_LEAST = 1e-9


def posterior(
    hits: np.ndarray, trials: np.ndarray, mean: np.ndarray | float, strength: np.ndarray | float
) -> np.ndarray:
    """Expected rate: between `mean` and `hits / trials`, nearer to the latter the more trials; `mean` without any."""
    return (strength * mean + hits) / (strength + trials)


def joint(strength: np.ndarray | float, known: np.ndarray | float) -> np.ndarray | float:
    """Strength of a mean that is itself known from no more than `known` trials: the variances add up."""
    return 1 / (1 / strength + 1 / known)


def fit_strength(
    hits: np.ndarray, trials: np.ndarray, mean: np.ndarray, known: np.ndarray | float = float("inf")
) -> float:
    """The strength under which such hits are most likely, of cells (cells,) with trials each.

    `known`: trials that each cell's mean is known from. Rates that differ no more than chance has it give `STRONGEST`.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import betaln

    if not len(hits):
        return STRONGEST
    mean = np.clip(mean, _LEAST, 1 - _LEAST)

    def loss(log_strength: float) -> float:
        strength = joint(np.exp(log_strength), known)
        a, b = strength * mean, strength * (1 - mean)
        return -float((betaln(a + hits, b + trials - hits) - betaln(a, b)).mean())

    bounds = (float(np.log(WEAKEST)), float(np.log(STRONGEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    # the search ends a step before its bound, and may end anywhere where nothing can be told
    return STRONGEST if loss(bounds[1]) <= found.fun + _LEAST else float(np.exp(found.x))
