"""Horizons of the lifetime-value model, and when it refuses."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_jobs.features import FEATURES
from ml_jobs.gate import GateConfig


class LifetimeValueConfig(BaseModel):
    """Sizes and thresholds of the lifetime-value model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizons: tuple[int, ...] = Field(default=(30, 90, 365), min_length=1)
    """What is expected is said for so many days (or the unit of the histories) after the cut-off, ascending."""
    coverage: float = Field(default=0.8, gt=0, lt=1)
    """Share of people whose purchases, and whose value, are to fall within the interval: at least this one."""
    min_buyers: int = Field(default=100, ge=2)
    """Fewer people: no model."""
    min_history_days: int = Field(default=60, ge=0)
    """Less time since the very first purchase: no model."""
    min_repeat_buyers: int = Field(default=50, ge=1)
    """Fewer people who bought again: neither how often nor for how much can be told."""
    features: tuple[str, ...] = FEATURES
    """Numeric columns that the trees read, beside what BG/NBD expects; all must be in `profile_features` and in
    `churn_training_set`. Nulls are allowed."""
    max_iter: int = Field(default=80, ge=1)
    """Trees."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Shrinkage of each tree."""
    max_leaf_nodes: int = Field(default=8, ge=2)
    """Leaves of each tree."""
    min_samples_leaf: int = Field(default=60, ge=1)
    """Rows in each leaf, at least."""
    l2_regularization: float = Field(default=1.0, ge=0)
    """Pulls leaves toward zero."""
    n_threads: int = Field(default=1, ge=1)
    """Threads of the booster. One gives the same sums on every machine."""
    seed: int = 20240229
    """Seed of the booster."""
    max_plausible_auc: float = Field(default=0.995, gt=0.5, le=1)
    """Trees that tell better than this who will buy know what came after their cut-off."""
    gate: GateConfig = GateConfig(margin=0.01)
    """In shares of the deviance that the mean of what people spent would have had."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.horizons[0] <= 0 or sorted(set(self.horizons)) != list(self.horizons):
            raise ValueError("horizons must be positive and ascending")
        return self
