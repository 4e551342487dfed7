"""What each buyer is expected to buy and to spend, and what that comes to in all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from ml_jobs.lifetime_value import gamma_gamma, purchases
from ml_jobs.lifetime_value.bg_nbd import NAMES, BgNbd
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.gamma_gamma import GammaGamma
from ml_jobs.lifetime_value.histories import Histories, Timing, distinct
from ml_jobs.lifetime_value.intervals import intervals

if TYPE_CHECKING:
    import numpy as np

_STEP = 1e-4


@dataclass(frozen=True)
class Predictions:
    """Of each person, float64: (people,), or (people, horizons) for what is within a horizon. Money is undiscounted,
    and nan if no value was modelled."""

    p_alive: np.ndarray
    """Probability not to be gone; 1 for all one-time buyers, so not to be used as a score (`purchases.p_alive`)."""
    median_wait: np.ndarray
    """Time until the next purchase has come with probability one half; nan if it never does."""
    p_purchase: np.ndarray
    expected_purchases: np.ndarray
    purchases_low: np.ndarray
    purchases_high: np.ndarray
    expected_value: np.ndarray
    value_low: np.ndarray
    value_high: np.ndarray


@dataclass(frozen=True)
class Total:
    """Purchases of all people together within a horizon."""

    expected: float
    standard_error: float | None
    """From the uncertainty of the model's parameters alone (delta method); None on a bound of the model."""


def predict(
    model: BgNbd, values: GammaGamma | None, people: Histories, config: LifetimeValueConfig | None = None
) -> Predictions:
    """Of each of `people`, in their order. A person's figures depend on the person's own history and the models alone.

    Computed once per distinct history: by the day, a million people have some hundred thousand.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    config = config or LifetimeValueConfig()
    rows = distinct(people)
    whose = rows.of_person
    per_purchase = np.full(len(whose), np.nan) if values is None else gamma_gamma.expected_value(values, people)
    paid = np.zeros(len(whose)) if values is None else values.gamma + people.frequency * np.nan_to_num(people.value)
    found = {field.name: np.empty((len(whose), len(config.horizons))) for field in fields(Predictions)}
    found["p_alive"] = purchases.p_alive(model, rows)[whose]
    found["median_wait"] = purchases.median_wait(model, rows)[whose]
    with threadpool_limits(limits=1, user_api="blas"):
        for column, horizon in enumerate(config.horizons):
            number, share = intervals(model, values, rows, horizon, config.coverage)
            expected = purchases.expected_purchases(model, rows, horizon)[whose]
            found["p_purchase"][:, column] = purchases.p_purchase(model, rows, horizon)[whose]
            found["expected_purchases"][:, column] = expected
            found["purchases_low"][:, column] = number.low[whose]
            found["purchases_high"][:, column] = number.high[whose]
            found["expected_value"][:, column] = expected * per_purchase
            found["value_low"][:, column] = share.low[whose] * paid
            found["value_high"][:, column] = share.high[whose] * paid
    return Predictions(**found)


def expected_revenue(model: BgNbd, values: GammaGamma, people: Histories, horizon: float) -> np.ndarray:
    """Of each of `people`, within one horizon: `Predictions.expected_value` alone. (people,)"""
    rows = distinct(people)
    expected = purchases.expected_purchases(model, rows, horizon)[rows.of_person]
    return expected * gamma_gamma.expected_value(values, people)


def total_purchases(model: BgNbd, people: Timing, horizon: float) -> Total:
    """Expected purchases of all `people` within `horizon`, and how far the fit leaves that open."""
    import numpy as np

    rows = distinct(people)

    def total(of: BgNbd) -> float:
        return float(rows.count @ purchases.expected_purchases(of, rows, horizon))

    def moved(name: str, step: float) -> float:
        return total(replace(model, **{name: getattr(model, name) * float(np.exp(step))}))

    error = None
    if model.covariance is not None:
        slope = np.array([moved(name, _STEP) - moved(name, -_STEP) for name in NAMES]) / (2 * _STEP)
        error = float(np.sqrt(slope @ np.asarray(model.covariance) @ slope))
    return Total(total(model), error)
