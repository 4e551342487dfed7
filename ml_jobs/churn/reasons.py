"""Why a buyer is said to be at risk: what raises the probability most, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_jobs.churn.shapley import tree_shapley
from ml_jobs.churn.train import HISTORY, ChurnModel, standardized

if TYPE_CHECKING:
    import numpy as np

N_REASONS = 3
_ROWS = 1 << 16
"""People at a time."""
_WORDS = {
    "recency_days": "no purchase for {} days",
    "days_since_first_purchase": "first purchase {} days ago",
    "days_since_human_activity": "no visit, open or click for {} days",
    "tenure_days": "known for {} days",
    "average_order_value": "average order: {}",
    "mean_days_between_purchases": "days between purchases: {}",
    "stddev_days_between_purchases": "days by which times between purchases differ: {}",
    "max_days_between_purchases": "longest time between purchases in days: {}",
}
_MEASURES = {
    "items": "items bought",
    "returned_revenue": "revenue sent back",
    "sessions": "visits",
    "product_views": "products viewed",
    "cart_adds": "additions to the cart",
    "emails_delivered": "mails delivered",
    "human_opens": "mails opened",
    "human_clicks": "clicks in mails",
}
_WINDOW = re.compile(r"_(?:(?P<days>\d+)d|lifetime)$")
_SUBJECT = re.compile(r"^(?:mean|stddev|max)_|_(?:\d+d|lifetime)$")


def contributions(model: ChurnModel, features: np.ndarray) -> np.ndarray:
    """By how much each feature moves the log-odds before calibration, which only stretches them: (rows, features).

    Shapley values: of trees by TreeSHAP, of a logistic regression (whose inputs have mean 0) coefficient times input,
    of the mean of the two their mean, since it is taken in log-odds. BG/NBD is no sum of parts: the silence comes
    first, then on how many days there was a purchase.
    """
    import numpy as np

    if model.rates is not None:
        found = np.zeros(features.shape)
        for weight, name in enumerate((HISTORY[0], HISTORY[2]), start=1):
            found[:, model.features.index(name)] = weight
        return found
    parts = []
    if model.booster is not None:
        parts.append(tree_shapley(model.booster, features))
    if model.logistic is not None:
        by_logistic = np.zeros(features.shape)
        by_logistic[:, list(model.logistic_columns)] = standardized(model, features) * model.logistic[-1].coef_[0]
        parts.append(by_logistic)
    return np.mean(parts, axis=0)


def reasons_of(model: ChurnModel, features: np.ndarray) -> list[tuple[str | None, ...]]:
    """For each row the N_REASONS subjects that raise the probability most, strongest first; None where fewer do.

    Features that differ in their window alone are one subject: what they add is added up, and the one that adds most
    speaks for it. So three reasons are three things.
    """
    found: list[tuple[str | None, ...]] = []
    for start in range(0, len(features), _ROWS):
        found += _reasons_of_some(model, features[start : start + _ROWS])
    return found


def _reasons_of_some(model: ChurnModel, features: np.ndarray) -> list[tuple[str | None, ...]]:
    import numpy as np

    subjects = [_SUBJECT.sub("", name) for name in model.features]
    of_subject = np.asarray([[subject == name for subject in subjects] for name in dict.fromkeys(subjects)], bool)
    templates = [template(name) for name in model.features]
    added = contributions(model, features)
    by_subject = added @ of_subject.T
    rows = np.arange(len(features))
    said: list[Sequence[str | None]] = []
    for subject in np.argsort(-by_subject, axis=1, kind="stable")[:, :N_REASONS].T:
        feature = np.where(of_subject[subject], added, -np.inf).argmax(axis=1)
        said.append(
            [
                templates[which].format(number(value)) if raises else None
                for which, value, raises in zip(
                    feature.tolist(), features[rows, feature].tolist(), by_subject[rows, subject] > 0, strict=True
                )
            ]
        )
    said += [[None] * len(features)] * (N_REASONS - len(said))
    return list(zip(*said, strict=True))


def template(name: str) -> str:
    """A phrase for a feature with a place for its value; a column that is not known here keeps its own name."""
    if name in _WORDS:
        return _WORDS[name]
    window = _WINDOW.search(name)
    measure = name if window is None else name[: window.start()]
    label = _MEASURES.get(measure, measure.replace("_", " "))
    if window is None:
        return f"{label}: {{}}"
    return f"{label} in {window['days']} days: {{}}" if window["days"] else f"{label} so far: {{}}"


def number(value: float) -> str:
    """A feature's value; "none" for null."""
    if value != value:
        return "none"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def reasons_where(model: ChurnModel, features: np.ndarray, which: np.ndarray) -> Sequence[tuple[str | None, ...]]:
    """`reasons_of` for the rows of a mask; nothing for the others."""
    found: list[tuple[str | None, ...]] = [(None,) * N_REASONS] * len(features)
    for row, said in zip(which.nonzero()[0], reasons_of(model, features[which]), strict=True):
        found[row] = said
    return found
