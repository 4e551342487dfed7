"""Back-test at the newest complete cut-off: what the model would have said then, beside what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.gate import Trial
from ml_jobs.io import from_micros
from ml_jobs.job import Validation
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.features import Snapshots
from ml_jobs.lifetime_value.model import LifetimeValueModel, fit

if TYPE_CHECKING:
    import numpy as np

    from ml_jobs.lifetime_value.predict import Predictions

_DAY = 86_400_000_000
_POWER = 1.5
_LEAST = 1e-3
"""Least share of the mean that anybody is said to spend: a deviance knows no zero."""


def deviance(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Tweedie deviance of power 1.5 per person: least, on average, for the true mean, and forgiving to a few large
    sums; many spend nothing. Any shape."""
    import numpy as np

    p = _POWER
    return 2 * (
        np.power(actual, 2 - p) / ((1 - p) * (2 - p))
        - actual * np.power(expected, 1 - p) / (1 - p)
        + np.power(expected, 2 - p) / (2 - p)
    )


def _rivals(known: Snapshots, test: Snapshots, horizon: float) -> dict[str, np.ndarray]:
    """What the simplest methods expect each person to spend: all the same, as people of the newest known cut-off did;
    each as before, per day since the first purchase or over the horizon, whichever is longer."""
    import numpy as np

    newest = known.revenue[known.cutoff == known.cutoff.max(initial=0)]
    mean = float(newest.mean()) if len(newest) else 0.0
    before = test.revenue_before * horizon / np.maximum(test.histories.age, horizon)
    found = {"as_before": before}
    return found | {"all_the_same": np.full(len(before), mean)} if mean > 0 else found


def evaluate(rows: Snapshots, config: LifetimeValueConfig) -> Validation:
    """Fit to the histories as of the newest complete cut-off, and measure on its horizon.

    Raises:
        TrainingRefusedError: too few people had bought again by that cut-off, or all spent the same.
    """
    import numpy as np

    newest = rows.cutoff.max(initial=0)
    test = rows.rows(rows.cutoff == newest)
    if not len(test.cutoff) or not test.revenue.sum() > 0 or test.revenue.min() == test.revenue.max():
        note = "no back-test: no complete cut-off after which some bought more than others"
        return Validation({"note": note}, 0, trial=None)
    horizon = round((test.horizon_end[0] - newest) / _DAY)
    at_horizon = config.model_copy(update={"horizons": (horizon,)})
    try:
        model = fit(test.histories, config)
    except TrainingRefusedError as error:
        return Validation({"note": f"no back-test: at the newest complete cut-off, {error}"}, 0, trial=None)
    said = model.predict(test.histories, at_horizon)
    least = _LEAST * float(test.revenue.mean())

    def raw_merit(expected: np.ndarray) -> np.ndarray:
        return -deviance(np.maximum(expected, least), np.maximum(test.revenue, 0))

    merits = {
        name: raw_merit(expected)
        for name, expected in _rivals(rows.rows(rows.horizon_end <= newest), test, horizon).items()
    }
    # in shares of what the mean of the outcomes itself would have: no unit of money
    unit = -float(raw_merit(np.full(len(test.revenue), test.revenue.mean())).mean())
    merit = raw_merit(said.expected_value[:, 0])
    metrics = {
        "horizon_days": horizon,
        **_measured(said, test),
        "deviance": round(-float(merit.mean()) / unit, 6),
        **{f"{name}_deviance": round(-float(one.mean()) / unit, 6) for name, one in merits.items()},
        **model.facts(),
    }
    trial = Trial(
        began_at=from_micros(newest),
        measure="the deviance of what people spend",
        merit=merit / unit,
        rivals={name: one / unit for name, one in merits.items()},
        merit_of=lambda stored: (
            raw_merit(LifetimeValueModel.from_dict(stored).predict(test.histories, at_horizon).expected_value[:, 0])
            / unit
        ),
    )
    return Validation(metrics, len(test.cutoff), trial)


def _measured(said: Predictions, test: Snapshots) -> dict[str, Any]:
    import numpy as np
    from sklearn.metrics import brier_score_loss, roc_auc_score

    bought = test.purchases > 0
    numbers: dict[str, Any] = {
        "expected_purchases": said.expected_purchases.sum(),
        "actual_purchases": test.purchases.sum(),
        "expected_revenue": said.expected_value.sum(),
        "actual_revenue": test.revenue.sum(),
        "purchase_rate": bought.mean(),
        "p_purchase": said.p_purchase.mean(),
        "purchases_within": np.mean(
            (said.purchases_low[:, 0] <= test.purchases) & (test.purchases <= said.purchases_high[:, 0])
        ),
        "value_within": np.mean((said.value_low[:, 0] <= test.revenue) & (test.revenue <= said.value_high[:, 0])),
    }
    if 0 < bought.mean() < 1:
        numbers["brier"] = brier_score_loss(bought, said.p_purchase[:, 0])
        numbers["auc"] = roc_auc_score(bought, said.p_purchase[:, 0])
    return {name: round(float(value), 6) for name, value in numbers.items()}
