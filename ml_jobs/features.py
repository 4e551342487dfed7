"""What models of buyers read of `profile_features`, and what trees may learn of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_WINDOWED = [
    f"{measure}_{days}d"
    for measure in (
        "orders", "items", "revenue", "active_days", "sessions", "product_views", "cart_adds", "emails_delivered",
        "human_opens", "human_clicks",
    )
    for days in (30, 90, 365)
]  # fmt: skip

FEATURES: tuple[str, ...] = (
    "recency_days",
    "days_since_first_purchase",
    "days_since_human_activity",
    "tenure_days",
    "orders_lifetime",
    "items_lifetime",
    "revenue_lifetime",
    "returned_revenue_lifetime",
    "purchase_days_lifetime",
    "average_order_value",
    "mean_days_between_purchases",
    "stddev_days_between_purchases",
    "max_days_between_purchases",
    *_WINDOWED,
)
"""Columns of profile_features that models of buyers read; anything else there is not a feature."""


def learnable(features: np.ndarray, subsets: Sequence[np.ndarray] = ()) -> np.ndarray:
    """`features` (rows, columns), to fit trees on, with 0 for all in a column that is null for everybody, or for
    everybody of one of `subsets` (positions of rows).

    A young shop has such columns. scikit-learn cannot bin them, and of a constant no tree asks: so a fitted model never
    looks at the column, whatever it holds later, and needs no such treatment to score or to be explained.
    """
    import numpy as np

    is_null = np.isnan(features)
    is_empty = is_null.all(axis=0)
    for rows in subsets:
        is_empty |= is_null[rows].all(axis=0)
    return np.where(is_empty, 0.0, features)
