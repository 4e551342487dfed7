"""Horizons of the lifetime-value model, and when it refuses."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    gate: GateConfig = GateConfig(margin=0.01)
    """In shares of the deviance that the mean of what people spent would have had."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.horizons[0] <= 0 or sorted(set(self.horizons)) != list(self.horizons):
            raise ValueError("horizons must be positive and ascending")
        return self
