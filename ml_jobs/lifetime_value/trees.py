"""Gradient-boosted trees beside BG/NBD: what people spend within the horizon that the training set knows.

They see what BG/NBD does not (what was bought lately, returns, visits, mails), and what it expects as one column more.
The loss is the Poisson deviance, which asks of sums of money only that their mean be right; squared errors of
logarithms would expect about the median, far below it. Cut-offs teach together, each with what BG/NBD said on that day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.features import learnable
from ml_jobs.lifetime_value import bg_nbd, gamma_gamma
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.features import Snapshots
from ml_jobs.lifetime_value.predict import Predictions, expected_revenue

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Trees:
    """Fitted to what people spent after past cut-offs."""

    regressor: Any
    """HistGradientBoostingRegressor on `features` and BG/NBD's expectation, of shares of `unit`."""
    features: tuple[str, ...]
    """Columns that it reads, in its order."""
    horizon_days: int
    """Of its question."""
    unit: float
    """Money: the mean of what people spent."""
    stretch: float = 1.0
    """By so much the interval is wider than BG/NBD's (`stretch_of`)."""

    def expected(self, features: np.ndarray, by_bg_nbd: np.ndarray) -> np.ndarray:
        """Net revenue within `horizon_days`, of people of whom BG/NBD expects `by_bg_nbd` within it. (people,)"""
        import numpy as np
        from threadpoolctl import threadpool_limits

        if not len(by_bg_nbd):
            return by_bg_nbd
        with threadpool_limits(limits=1, user_api="openmp"):
            return self.regressor.predict(np.column_stack((features, by_bg_nbd))) * self.unit

    def correct(self, said: Predictions, features: np.ndarray, by_bg_nbd: np.ndarray) -> Predictions:
        """BG/NBD's money at all horizons times a factor of each person's own, which makes the expectation at
        `horizon_days` that of the trees: so horizons keep their order, and the interval goes with what it is around.
        """
        import numpy as np

        expected = self.expected(features, by_bg_nbd)
        factor = np.divide(expected, by_bg_nbd, out=np.zeros(len(expected)), where=by_bg_nbd > 0)[:, None]
        return replace(
            said,
            expected_value=said.expected_value * factor,
            value_low=said.value_low * factor / self.stretch,
            value_high=said.value_high * factor * self.stretch,
        )

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types around scikit-learn's."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def expectations(rows: Snapshots, config: LifetimeValueConfig) -> np.ndarray:
    """What BG/NBD and Gamma-Gamma, fitted on the day of each cut-off, expect people to spend within the horizon.

    Shape (rows,); nan at cut-offs at which too little was known for a fit.
    """
    import numpy as np

    expected = np.full(len(rows.cutoff), np.nan)
    for cutoff in np.unique(rows.cutoff):
        at_cutoff = rows.cutoff == cutoff
        people = rows.rows(at_cutoff).histories
        try:
            models = bg_nbd.fit(people, config), gamma_gamma.fit(people, config)
        except TrainingRefusedError:
            continue
        expected[at_cutoff] = expected_revenue(*models, people, rows.horizon_days)
    return expected


def fit(rows: Snapshots, by_bg_nbd: np.ndarray, config: LifetimeValueConfig) -> Trees | None:
    """Fitted to all `rows` of which BG/NBD has an expectation (`expectations`); None if nothing was spent after any."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    known = np.isfinite(by_bg_nbd)
    spent = rows.spent[known]
    if not spent.sum() > 0:
        return None
    regressor = HistGradientBoostingRegressor(
        loss="poisson",
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_regularization,
        # it would hold out random rows, and the same person sits in several cut-offs
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # scikit-learn: "auto" or bool
        random_state=config.seed,
    )
    unit = float(spent.mean())
    with threadpool_limits(limits=config.n_threads, user_api="openmp"):
        regressor.fit(np.column_stack((learnable(rows.features[known]), by_bg_nbd[known])), spent / unit)
    return Trees(regressor, config.features, rows.horizon_days, unit)


def stretch_of(said: Predictions, spent: np.ndarray, coverage: float) -> float:
    """The least factor ≥ 1 by which intervals must grow to hold `coverage` of what people `spent` at a cut-off that the
    model has not seen (split conformal: Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29).

    1 where no factor would do: whom BG/NBD gives an interval of zeros it cannot reach.
    """
    import numpy as np

    low, high = said.value_low[:, 0], said.value_high[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(spent < low, low / spent, np.where(spent > high, spent / high, 1.0))
    level = min(1.0, np.ceil((len(spent) + 1) * coverage) / len(spent))
    found = float(np.quantile(needed, level, method="higher"))
    return found if np.isfinite(found) else 1.0
