"""What of each job's predictions is kept, and which columns its people are known by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_jobs.registry import ModelRun

Stored = Mapping[str, Any]


def _no_columns(stored: Stored) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Kept:
    """Columns of a job's prediction table as columns of `prediction_log`. Texts are SQL over that table."""

    value: str
    horizon_days: Callable[[ModelRun, Stored], int | None] | str
    """Days after as_of in which it comes true: a column, or what the model says; None: it does not, nothing is ever
    held against it, and the newest day alone is kept."""
    subject: str = "''"
    """What it is about, beside the person."""
    rank: str = "1"
    """Among those of a person, 1 first."""
    which: str = "true"
    """Condition of the rows that are kept."""
    features: Callable[[Stored], Sequence[str]] = _no_columns
    """Columns of `profile_features` that the model reads."""


KEPT: Mapping[str, Kept] = {
    "recommendations": Kept(
        value="score",
        horizon_days=lambda run, _: run.params.get("horizon_days"),
        subject="product_id",
        rank="rank",
        # what a mail shows
        which="coalesce(placement, 'email') = 'email' and rank <= 3",
    ),
    "churn": Kept(
        value="churn_probability",
        # 0 in models of before they knew it
        horizon_days=lambda _, stored: stored.get("horizon_days") or None,
        features=lambda stored: stored["features"],
    ),
    "lifetime_value": Kept(
        value="expected_value",
        horizon_days="horizon_days",
        features=lambda _: ("purchase_days_lifetime", "days_since_first_purchase", "recency_days", "revenue_lifetime"),
    ),
    # of the next mail, whenever it is sent
    "engagement": Kept(
        value="p_click", horizon_days=lambda run, stored: None, features=lambda stored: stored["features"]
    ),
    "send_time": Kept(value="p_click", horizon_days=lambda run, stored: None),
}
"""By job; of one that is not here nothing is kept."""
