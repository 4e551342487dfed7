"""What a job says when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

OnProgress = Callable[[str], None] | None


def tell(on_progress: OnProgress, message: str) -> None:
    """Pass a line on to whoever listens."""
    if on_progress is not None:
        on_progress(message)


@dataclass(frozen=True)
class JobReport:
    """Outcome of training, scoring or both."""

    job: str
    status: Literal["trained", "kept", "scored", "skipped"]
    """Kept: a model was trained, but the one before it stays."""
    as_of: datetime
    model_version: str | None = None
    """None if there is no model (skipped)."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Metrics of the temporal back-test, as stored in model_runs."""
    n_train: int = 0
    n_test: int = 0
    n_scored: int = 0
    """Profiles that got predictions."""
    reason: str | None = None
    """Why nothing was trained or scored, or another model scored; None if all went as asked."""
    decision: str = ""
    """How the model that this is about stood against its rivals."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"as_of": self.as_of.isoformat()}


def in_one(trained: JobReport, scored: JobReport) -> JobReport:
    """The report of a run that trained and scored. If an older model scored, or none, it says why."""
    if trained.status == "trained":
        return scored
    said = f"not trained anew: {trained.reason}" if trained.status == "skipped" else f"stays aside: {trained.reason}"
    if scored.status == "skipped":
        # nothing lives: what was tried, and lost, is all that there is to tell
        return trained if trained.status == "skipped" else replace(trained, status="skipped", model_version=None)
    return replace(scored, reason=f"{said}; scored by {scored.model_version}")
