"""What the churn model is made of, and when it refuses."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_jobs.features import FEATURES
from ml_jobs.gate import GateConfig

FIXED_HORIZON = "has_churned"
"""The label that asks the same of everybody, as BG/NBD does."""


class ChurnConfig(BaseModel):
    """Columns, sizes and thresholds of the churn model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...] = FEATURES
    """Numeric columns; all must be in `profile_features` and in `churn_training_set`. Nulls are allowed."""
    recency: str = "recency_days"
    """Days since the last purchase: null for those who never bought, who are not scored. Baseline on its own."""
    frequency: str = "orders_lifetime"
    """Number of purchases; with recency and `monetary` the baseline "logistic on RFM"."""
    monetary: str = "revenue_lifetime"
    """Revenue."""
    label: str = FIXED_HORIZON
    """Boolean of `churn_training_set`: `has_churned`, no purchase in [as_of, horizon_ends_at), or `has_lapsed`, none in
    a part of it by the person's own rhythm. Either is known at horizon_ends_at at the latest."""
    max_iter: int = Field(default=80, ge=1)
    """Trees."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Shrinkage of each tree."""
    max_leaf_nodes: int = Field(default=8, ge=2)
    """Leaves of each tree: small trees, since a shop has thousands of buyers, not millions."""
    min_samples_leaf: int = Field(default=60, ge=1)
    """Rows in each leaf, at least."""
    l2_regularization: float = Field(default=1.0, ge=0)
    """Pulls leaves toward zero."""
    calibration: Literal["sigmoid", "isotonic"] = "sigmoid"
    """Map from scores to probabilities, fitted on the newest complete cut-off. Sigmoid keeps the order of people."""
    n_folds: int = Field(default=4, ge=2)
    """Folds of people: those of the newest cut-off are scored for the calibration by a model that never saw them."""
    n_bins: int = Field(default=10, ge=2)
    """Equal-mass bins of the calibration table and of the expected calibration error."""
    cost_of_contact: float = Field(default=3.5, gt=0)
    """What reaching out to one buyer costs in all, in the shop's currency: the voucher more than the mail."""
    value_of_saved: float = Field(default=50.0, gt=0)
    """What a buyer who stays brings, of what would have been lost, in the same currency (the margin, not the sales)."""
    save_rate: float = Field(default=0.1, gt=0, le=1)
    """Share of those who would have left that stay because of the contact, by a cautious guess."""
    hopeful_save_rate: float = Field(default=0.2, gt=0, le=1)
    """The same by a hopeful one."""
    min_positives: int = Field(default=50, ge=1)
    """Churned rows needed to fit, and again in the held-out cut-off; fewer: no model."""
    min_negatives: int = Field(default=50, ge=1)
    """Retained rows needed likewise."""
    max_plausible_auc: float = Field(default=0.995, gt=0.5, le=1)
    """A held-out AUC above this is too good to be true: a feature knows the outcome, and no model is kept."""
    gate: GateConfig = GateConfig(margin=0.005)
    """In Brier score: a model that stays aside is worse by more than that than what reigned, or than RFM."""
    n_threads: int = Field(default=1, ge=1)
    """Threads of the booster. One gives the same sums on every machine, and on some thousand rows more are no faster:
    on a busy machine they wait for each other."""
    seed: int = 20240229
    """Seed of the booster and of the folds."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        absent = {self.recency, self.frequency, self.monetary} - set(self.features)
        if absent:
            raise ValueError(f"the baselines need the features {sorted(absent)}")
        if self.save_rate >= self.hopeful_save_rate:
            raise ValueError("save_rate must be below hopeful_save_rate")
        return self
