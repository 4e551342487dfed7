"""What models of buyers read of `profile_features`."""

from __future__ import annotations

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
