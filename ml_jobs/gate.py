"""Which model goes live: a new one only if it is not worse than its rivals on the newest window.

Its recipe is fitted on what was known when the window began, and held against two kinds of rivals on the same people:
the simplest methods, and the model that reigned at that time, as it was stored. A later one has seen the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np


class NotComparableError(Exception):
    """A stored model cannot be asked about these people: it reads columns that are gone, say."""


class GateConfig(BaseModel):
    """When "not worse" is true."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(gt=0)
    """A new model may be worse by so much of its measure, on average: two honest fits differ by as much. More than that
    is held against it only where chance does not explain it."""
    n_bootstrap: int = Field(default=500, ge=1)
    """Resamples of people for the 95 % interval of a difference."""
    seed: int = 20240229
    """Seed of the resamples."""


@dataclass(frozen=True)
class Trial:
    """How a recipe did on the newest window."""

    began_at: datetime
    measure: str
    """What `merit` is, in words; more is better."""
    merit: np.ndarray
    """float (people,)"""
    rivals: Mapping[str, np.ndarray]
    """The simplest methods' merit for the same people."""
    merit_of: Callable[[Any], np.ndarray]
    """The same for a stored model. Raises NotComparableError."""


@dataclass(frozen=True)
class Difference:
    """Mean merit of the new model minus that of a rival, with its 95 % bootstrap interval over people."""

    rival: str
    mean: float
    low: float
    high: float
    n: int

    def is_worse(self, margin: float) -> bool:
        """By more than the margin, and by more than chance would have it."""
        return self.mean < -margin and self.high < 0

    def __str__(self) -> str:
        return f"{self.rival} {self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Decision:
    """Whether a new model goes live, and why."""

    goes_live: bool
    reason: str
    differences: tuple[Difference, ...] = ()


def paired_interval(difference: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of paired differences (people,), resampling people; nan without any."""
    import numpy as np

    n = len(difference)
    if not n or not n_bootstrap:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = [difference[rng.integers(0, n, n)].mean() for _ in range(n_bootstrap)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def difference_to(rival: str, merit: np.ndarray, other: np.ndarray, config: GateConfig) -> Difference:
    """`merit` minus `other`, person by person."""
    paired = merit.astype(float) - other
    low, high = paired_interval(paired, config.n_bootstrap, config.seed)
    return Difference(rival, float(paired.mean()), low, high, len(paired))


def best_of(merits: Mapping[str, np.ndarray], preferred: str, simple: Sequence[str], config: GateConfig) -> str:
    """`preferred`, which an earlier window chose, unless it is worse on this one than a `simple` method: then the best
    of these, which have less to go wrong."""
    lost_to = [
        name for name in simple if difference_to(name, merits[preferred], merits[name], config).is_worse(config.margin)
    ]
    return max(lost_to, key=lambda name: float(merits[name].mean())) if lost_to else preferred


def decide(
    trial: Trial | None, reigning: tuple[str, Any] | None, was_tried: bool | None, config: GateConfig
) -> Decision:
    """Whether the model whose recipe made `trial` goes live.

    Args:
        trial: None where the newest window says nothing (too few people).
        reigning: (version, stored model) of what reigned when the window began, if anything did.
        was_tried: whether the model that reigns now had a trial of its own; None if none reigns.
        config: margins.
    """
    import numpy as np

    if trial is None:
        if was_tried:
            return Decision(False, "the newest window cannot tell: the reigning model, which was tried, stays")
        return Decision(True, "untried: there are too few people to tell, and no reigning model was tried")
    if not np.isfinite(trial.merit).all():
        return Decision(False, f"{trial.measure} of what it says is no number")
    differences = [difference_to(name, trial.merit, other, config) for name, other in trial.rivals.items()]
    note = "no model reigned when the window began"
    if reigning is not None:
        version, stored = reigning
        try:
            differences.append(difference_to(version, trial.merit, trial.merit_of(stored), config))
            note = ""
        except NotComparableError as error:
            note = f"{version} could not be asked: {error}"
    return _judged(trial.measure, differences, note, config)


def _judged(measure: str, differences: Sequence[Difference], note: str, config: GateConfig) -> Decision:
    worse = [one for one in differences if one.is_worse(config.margin)]
    verdict = f"worse by {measure} than {_listed(worse)}" if worse else f"by {measure} against {_listed(differences)}"
    if not differences:
        verdict = "nothing to be held against"
    return Decision(not worse, "; ".join(part for part in (verdict, note) if part), tuple(differences))


def _listed(differences: Sequence[Difference]) -> str:
    return ", ".join(str(one) for one in differences)
