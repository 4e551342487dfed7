"""What the model of engagement is made of, and when it refuses."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml_jobs.gate import GateConfig

FEATURES: tuple[str, ...] = (
    "recency_days",
    "tenure_days",
    "days_since_human_activity",
    "orders_lifetime",
    "revenue_lifetime",
    *(
        f"{measure}_{days}d"
        for measure in (
            "orders", "active_days", "sessions", "product_views", "cart_adds", "emails_delivered", "human_opens",
            "human_clicks",
        )
        for days in (30, 90, 365)
    ),
)  # fmt: skip
"""Columns of profile_features that the model reads, beside how a person answered mails before."""


class EngagementConfig(BaseModel):
    """Columns, sizes and thresholds of the model of engagement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...] = FEATURES
    """Numeric columns; all must be in `profile_features` and in `profile_feature_snapshots`. Nulls are allowed."""
    max_iter: int = Field(default=80, ge=1)
    """Trees."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Shrinkage of each tree."""
    max_leaf_nodes: int = Field(default=8, ge=2)
    """Leaves of each tree."""
    min_samples_leaf: int = Field(default=60, ge=1)
    """Rows in each leaf, at least: people and cut-offs, with the mails that they answered, or did not."""
    l2_regularization: float = Field(default=1.0, ge=0)
    """Pulls leaves toward zero."""
    n_folds: int = Field(default=4, ge=2)
    """Folds of people: trees are calibrated on what they say of people whom they have not seen."""
    n_bins: int = Field(default=10, ge=2)
    """Equal-mass bins of the calibration table and of the expected calibration error."""
    min_answers: int = Field(default=30, ge=1)
    """Mails opened, clicked, and not opened, needed to fit, and again after the held-out cut-off; fewer: no model."""
    max_plausible_auc: float = Field(default=0.995, gt=0.5, le=1)
    """A held-out AUC above this is too good to be true: a feature knows the outcome, and no model is kept."""
    gate: GateConfig = GateConfig(margin=0.005)
    """In Brier score per mail, of opens and clicks together: a model that stays aside is worse by more than that than
    what reigned, or than a rival."""
    n_threads: int = Field(default=1, ge=1)
    """Threads of the trees. One gives the same sums on every machine."""
    seed: int = 20240229
    """Seed of the trees."""
