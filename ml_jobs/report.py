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
    status: Literal["trained", "scored", "skipped"]
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
    """Why nothing was trained or scored; None if all went as asked."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"as_of": self.as_of.isoformat()}


def in_one(trained: JobReport, scored: JobReport) -> JobReport:
    """The report of a run that trained and scored. If training was refused but an older model scored, both are said."""
    if trained.status != "skipped":
        return scored
    if scored.status == "skipped":
        return trained
    return replace(scored, reason=f"not trained anew: {trained.reason}; scored by {scored.model_version}")
