"""How long predictions are kept, and from when on a day is unlike the one that a model began with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FeedbackConfig(BaseModel):
    """Sizes and limits of the feedback."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: int = Field(default=400, ge=1)
    """Days that predictions stay in `prediction_log` at most: longer than the longest horizon, or its outcome is never
    seen. They leave before, once their horizon has been over for the `outcome_days` of the marts."""
    n_bins: int = Field(default=10, ge=2)
    """Bins of a distribution, of equal mass on the model's first day."""
    max_psi: float = Field(default=0.2, gt=0)
    """A population stability index above this is drift (by custom, 0.1 to 0.2 is a moderate one)."""
    chance: float = Field(default=0.001, gt=0, lt=1)
    """... if it is also larger than that of two samples of one population in all but this share of cases: any two
    days of few people differ."""
    max_lost: float = Field(default=0.2, gt=0, lt=1)
    """Fewer people scored than on the model's first day, by more than this share of them, is drift."""
