"""BG/NBD: buyers buy at random at their own rates, and after any purchase may be gone for good. Fitted to histories.

Source: Fader, Hardie, Lee 2005, "Counting your customers" the easy way (doi:10.1287/mksc.1040.0098). A buyer's rate is
Gamma(r, alpha), the chance to be gone after a purchase Beta(a, b), independently.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.histories import DistinctHistories, Timing, distinct
from ml_jobs.lifetime_value.optimum import maximize

if TYPE_CHECKING:
    import numpy as np

NAMES = ("r", "alpha", "a", "b")
_BOUNDS = {"r": (1e-3, 1e3), "alpha": (1e-6, 1e6), "a": (1e-3, 1e3), "b": (1e-3, 1e3)}
"""With the mean age as the unit of time."""
_ROUGH_ROWS = 20_000
"""Distinct histories on which the starts are tried, if there are more than twice as many."""


@dataclass(frozen=True)
class BgNbd:
    """A fitted model, in the unit of time of the histories."""

    r: float
    """Shape of the purchase rates over people."""
    alpha: float
    """Their scale: a time. The mean rate is r / alpha."""
    a: float
    """With b the shape of the chances to be gone after a purchase, on average a / (a + b)."""
    b: float
    log_likelihood: float
    """Sum over people, of the density of the histories."""
    n: int
    """People it was fitted to."""
    n_repeat: int
    """Of them, those who bought again."""
    is_converged: bool
    at_boundary: tuple[str, ...] = ()
    """Parameters that lie on a bound: a → 0 means that nobody is ever gone, r → ∞ that all buy at one rate, a and
    b → ∞ that all are gone with one chance. Predictions hold; these parameters themselves mean nothing."""
    undetermined: tuple[str, ...] = ()
    """Parameters on no bound of which the histories do not tell the order of magnitude: as good as on one."""
    covariance: tuple[tuple[float, ...], ...] | None = None
    """Of the logarithms of (r, alpha, a, b), from the curvature of the likelihood; None on a bound."""

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> BgNbd:
        """The model of `to_dict`, or of the same read back from JSON."""
        fields = dict(stored)
        for name in ("at_boundary", "undetermined"):
            fields[name] = tuple(stored[name])
        if stored["covariance"] is not None:
            fields["covariance"] = tuple(tuple(row) for row in stored["covariance"])
        return cls(**fields)


class Likelihood:
    """Mean log-likelihood over people and its gradient by (r, alpha, a, b), equations 5 and 6 of the paper.

    What depends on the frequency or on the age alone is summed over their distinct values. The chance to be gone
    enters as log(1 + exp(u)), where u = log(a / (b + x − 1)) + (r + x) log((alpha + T) / (alpha + t_x)).
    """

    def __init__(self, rows: DistinctHistories) -> None:
        import numpy as np

        x, count = rows.frequency, rows.count
        self._n = count.sum()
        self._x, group = np.unique(x, return_inverse=True)
        self._n_at_x = np.bincount(group, weights=count)
        self._age, group = np.unique(rows.age, return_inverse=True)
        self._n_at_age = np.bincount(group, weights=count)
        self._x_at_age = np.bincount(group, weights=count * x)
        again = x > 0
        self._again = x[again], rows.recency[again], rows.age[again], count[again]

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        import numpy as np
        from scipy.special import digamma, gammaln

        r, alpha, a, b = parameters
        x, n_at_x = self._x, self._n_at_x
        shapes = self._n_at_age * r + self._x_at_age
        aged = alpha + self._age
        value = n_at_x @ (
            gammaln(r + x) - gammaln(r) + gammaln(a + b) - gammaln(a + b + x) + gammaln(b + x) - gammaln(b)
        )
        value += self._n * r * np.log(alpha) - shapes @ np.log(aged)
        by_r = n_at_x @ (digamma(r + x) - digamma(r)) + self._n * np.log(alpha) - self._n_at_age @ np.log(aged)
        by_alpha = self._n * r / alpha - shapes @ (1 / aged)
        by_a = n_at_x @ (digamma(a + b) - digamma(a + b + x))
        by_b = by_a + n_at_x @ (digamma(b + x) - digamma(b))

        x, recency, age, count = self._again
        last = alpha + recency
        silence = age - recency
        longer = np.log1p(silence / last)
        u = np.log(a / (b + x - 1)) + (r + x) * longer
        small = np.exp(-np.abs(u))
        value += count @ (np.maximum(u, 0) + np.log1p(small))
        gone = count * np.where(u > 0, 1, small) / (1 + small)
        by_r += gone @ longer
        by_alpha -= gone @ ((r + x) * silence / (last * (alpha + age)))
        by_a += gone.sum() / a
        by_b -= gone @ (1 / (b + x - 1))
        return float(value / self._n), np.array([by_r, by_alpha, by_a, by_b]) / self._n


def fit(people: Timing, config: LifetimeValueConfig | None = None) -> BgNbd:
    """The parameters that make the histories of `people` likeliest; the same whatever their order or unit of time.

    Raises:
        TrainingRefusedError: too few people, too few who bought again, or all with one history.
    """
    import numpy as np

    config = config or LifetimeValueConfig()
    n, n_repeat = len(people.frequency), int((people.frequency > 0).sum())
    if n < config.min_buyers or n_repeat < config.min_repeat_buyers:
        raise TrainingRefusedError(
            f"{n} people bought, {n_repeat} again; {config.min_buyers} and {config.min_repeat_buyers} are needed"
        )
    rows = distinct(people)
    if len(rows.count) == 1:
        raise TrainingRefusedError("all people have one and the same purchase history")
    unit = float(rows.count @ rows.age) / n
    per_unit = float(rows.count @ rows.frequency) / n
    scaled = DistinctHistories(rows.frequency, rows.recency / unit, rows.age / unit, rows.count, rows.of_person)
    starts = [(r, r / per_unit, a, b) for r, a, b in ((1, 1, 3), (0.3, 0.5, 2), (1, 0.05, 5), (5, 5, 5))]
    found = maximize(Likelihood(scaled), starts, _BOUNDS, n, _rough(scaled))
    r, alpha, a, b = (float(value) for value in found.parameters)
    return BgNbd(
        r,
        alpha * unit,
        a,
        b,
        # a density: each repeat purchase carries one over the unit of time
        log_likelihood=n * (found.log_likelihood - per_unit * float(np.log(unit))),
        n=n,
        n_repeat=n_repeat,
        is_converged=found.is_converged,
        at_boundary=found.at_boundary,
        undetermined=found.undetermined,
        covariance=found.covariance,
    )


def _rough(rows: DistinctHistories) -> Likelihood | None:
    """The likelihood of every so many-th history: they are sorted, so each frequency and age keeps its share."""
    every = len(rows.count) // _ROUGH_ROWS
    if every < 2:
        return None
    columns = (rows.frequency, rows.recency, rows.age, rows.count)
    return Likelihood(DistinctHistories(*(column[::every] for column in columns), of_person=rows.of_person[:0]))
