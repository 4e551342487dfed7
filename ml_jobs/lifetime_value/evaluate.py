"""Back-test at the newest complete cut-off: what the models would have said then, beside what came.

Whether trees are worth it was decided at the cut-off before it: the newest one tries what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.gate import NotComparableError, Trial, best_of
from ml_jobs.io import from_micros
from ml_jobs.job import Validation, unchosen
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.features import Snapshots
from ml_jobs.lifetime_value.model import BG_NBD, TREES, LifetimeValueModel, fit
from ml_jobs.lifetime_value.trees import expectations, stretch_of
from ml_jobs.lifetime_value.trees import fit as fit_trees

if TYPE_CHECKING:
    import numpy as np

    from ml_jobs.lifetime_value.predict import Predictions

_POWER = 1.5
_LEAST = 1e-3
"""Least share of the mean that anybody is said to spend: a deviance knows no zero."""


@dataclass(frozen=True)
class Choice:
    """What the back-test decided."""

    method: str
    """BG_NBD or TREES."""
    stretch: float
    """Of the trees' intervals, by the newest cut-off (`trees.stretch_of`)."""


@dataclass(frozen=True)
class Day:
    """A cut-off, and the models as they would have been fitted on its day."""

    test: Snapshots
    by_method: dict[str, LifetimeValueModel]
    """BG_NBD, and TREES where the horizon of an earlier cut-off had ended."""

    def said(self, method: str, config: LifetimeValueConfig) -> Predictions:
        """Of the people of the cut-off, at its horizon."""
        at_horizon = config.model_copy(update={"horizons": (self.test.horizon_days,)})
        return self.by_method[method].predict(self.test.histories, self.test.features, at_horizon)

    def merits(self, config: LifetimeValueConfig) -> dict[str, np.ndarray]:
        """Of each method."""
        return {name: merit(self.said(name, config).expected_value[:, 0], self.test.spent) for name in self.by_method}

    def stretch(self, config: LifetimeValueConfig) -> float:
        """What the trees' intervals would have needed; 1 without trees."""
        if TREES not in self.by_method:
            return 1.0
        return stretch_of(self.said(TREES, config), self.test.spent, config.coverage)


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


def merit(expected: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Minus the deviance per person, in shares of what the mean of `spent` itself would have: no unit of money."""
    import numpy as np

    mean = float(spent.mean())
    return -deviance(np.maximum(expected, _LEAST * mean), spent) / deviance(np.full(len(spent), mean), spent).mean()


def _rivals(known: Snapshots, test: Snapshots, horizon: float) -> dict[str, np.ndarray]:
    """What the simplest methods expect each person to spend: all the same, as people of the newest known cut-off did;
    each as before, per day since the first purchase or over the horizon, whichever is longer."""
    import numpy as np

    newest = known.spent[known.cutoff == known.cutoff.max(initial=0)]
    mean = float(newest.mean()) if len(newest) else 0.0
    before = test.revenue_before * horizon / np.maximum(test.histories.age, horizon)
    found = {"as_before": before}
    return found | {"all_the_same": np.full(len(before), mean)} if mean > 0 else found


def split(rows: Snapshots) -> tuple[Snapshots, Snapshots]:
    """(what was known at the newest cut-off, the newest cut-off): what came must have come before it may teach."""
    newest = rows.cutoff.max(initial=0)
    return rows.rows(rows.horizon_end <= newest), rows.rows(rows.cutoff == newest)


def on_the_day(rows: Snapshots, config: LifetimeValueConfig) -> Day:
    """The newest cut-off of `rows`, as on its day.

    Raises:
        TrainingRefusedError: all spent the same after it, or too few people had bought again by it.
    """
    known, test = split(rows)
    if not len(test.cutoff) or not test.spent.sum() > 0 or test.spent.min() == test.spent.max():
        raise TrainingRefusedError("no complete cut-off after which some bought more than others")
    try:
        model = fit(test.histories, config)
    except TrainingRefusedError as error:
        raise TrainingRefusedError(f"at the newest complete cut-off, {error}") from None
    trees = fit_trees(known, expectations(known, config), config)
    return Day(test, {BG_NBD: model} | ({} if trees is None else {TREES: replace(model, trees=trees)}))


def _chosen(known: Snapshots, config: LifetimeValueConfig) -> tuple[str, float]:
    """(the method that did best at the cut-off before the newest, the stretch of that day).

    Raises:
        TrainingRefusedError: too little was known then.
    """
    before = on_the_day(known, config)
    if TREES not in before.by_method:
        raise TrainingRefusedError("trees had no earlier cut-off to learn from")
    merits = before.merits(config)
    return max(merits, key=lambda name: float(merits[name].mean())), before.stretch(config)


def evaluate(rows: Snapshots, config: LifetimeValueConfig) -> Validation:
    """Choose between BG/NBD and trees at the cut-off before the newest, and measure both as on the day of the newest.

    Trees that do worse there than BG/NBD give way to it.
    """
    try:
        day = on_the_day(rows, config)
    except TrainingRefusedError as error:
        return Validation({"note": f"no back-test: {error}"}, 0, trial=None)
    _refuse_foresight(day, config)
    (known, test), horizon = split(rows), day.test.horizon_days
    chosen, stretch, note = None, 1.0, {}
    try:
        chosen, stretch = _chosen(known, config)
    except TrainingRefusedError as error:
        note = unchosen(error)
    merits = day.merits(config)
    method = best_of(merits, chosen or BG_NBD, (BG_NBD,), config.gate)
    tried = day.by_method[method]
    if tried.trees is not None:
        tried = replace(tried, trees=replace(tried.trees, stretch=stretch))
    at_horizon = config.model_copy(update={"horizons": (horizon,)})
    rivals = {name: merit(expected, test.spent) for name, expected in _rivals(known, test, horizon).items()}
    if method != BG_NBD:
        rivals[BG_NBD] = merits[BG_NBD]
    deviances = {"deviance": merits[method]} | {f"{name}_deviance": one for name, one in (merits | rivals).items()}
    metrics = {
        "horizon_days": horizon,
        "method": method,
        "method_chosen_before": chosen,
        **note,
        **_measured(tried.predict(test.histories, test.features, at_horizon), test),
        **{name: round(-float(one.mean()), 6) for name, one in deviances.items()},
        **tried.facts(),
    }

    def merit_of_stored(stored: dict[str, Any]) -> np.ndarray:
        model = LifetimeValueModel.from_dict(stored)
        names = () if model.trees is None else model.trees.features
        absent = sorted(set(names) - set(config.features))
        if absent:
            raise NotComparableError(f"it reads {', '.join(absent)}, which the new one does not")
        features = test.features[:, [config.features.index(name) for name in names]]
        return merit(model.predict(test.histories, features, at_horizon).expected_value[:, 0], test.spent)

    trial = Trial(
        began_at=from_micros(test.cutoff[0]),
        measure="the deviance of what people spend",
        merit=merits[method],
        rivals=rivals,
        merit_of=merit_of_stored,
    )
    return Validation(metrics, len(test.cutoff), trial, choice=Choice(method, day.stretch(config)))


def _refuse_foresight(day: Day, config: LifetimeValueConfig) -> None:
    """Trees can read a column that knows the future; BG/NBD reads histories alone.

    Raises:
        TrainingRefusedError: whom the trees expect to spend is who bought, and nobody else.
    """
    from sklearn.metrics import roc_auc_score

    bought = day.test.purchases > 0
    if TREES not in day.by_method or not 0 < bought.mean() < 1:
        return
    auc = float(roc_auc_score(bought, day.said(TREES, config).expected_value[:, 0]))
    if auc > config.max_plausible_auc:
        raise TrainingRefusedError(
            f"AUC {auc:.3f} of who buys after the held-out cut-off is too good to be true: "
            "a feature of churn_training_set knows what happened after its cut-off"
        )


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
        "value_within": np.mean((said.value_low[:, 0] <= test.spent) & (test.spent <= said.value_high[:, 0])),
    }
    if 0 < bought.mean() < 1:
        numbers["brier"] = brier_score_loss(bought, said.p_purchase[:, 0])
        numbers["auc"] = roc_auc_score(bought, said.p_purchase[:, 0])
    return {name: round(float(value), 6) for name, value in numbers.items()}
