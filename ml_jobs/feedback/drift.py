"""How a distribution of today differs from that of the day on which a model began to score.

The first day is kept as counts in bins of equal mass (nulls apart): all that a population stability index needs, and
what is left of a Kolmogorov-Smirnov statistic without the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_FLOOR = 0.5
"""People that a bin is said to have where it has none: the index knows no zero."""


@dataclass(frozen=True)
class Profile:
    """A distribution."""

    edges: tuple[float, ...]
    """Inner edges, ascending: bin i holds what is above edge i - 1 and not above edge i."""
    counts: tuple[int, ...]
    """Of the nulls, then of each bin: two more than there are edges."""

    @property
    def n(self) -> int:
        return sum(self.counts)


def profile_of(values: np.ndarray, n_bins: int) -> Profile:
    """In bins of equal mass, fewer where values repeat. `values`: float (people,), nan for null."""
    import numpy as np

    known = values[np.isfinite(values)]
    steps = np.arange(1, n_bins) / n_bins
    edges = np.unique(np.quantile(known, steps, method="inverted_cdf")) if len(known) else np.empty(0)
    # above the greatest there is nothing
    edges = edges[edges < known.max()] if len(known) else edges
    return counted(values, tuple(edges.tolist()))


def counted(values: np.ndarray, edges: tuple[float, ...]) -> Profile:
    """The same bins for other values."""
    import numpy as np

    known = values[np.isfinite(values)]
    bins = np.bincount(np.searchsorted(np.asarray(edges), known, side="left"), minlength=len(edges) + 1)
    return Profile(edges, (len(values) - len(known), *bins.tolist()))


def stability_index(first: Profile, today: Profile) -> float:
    """Population stability index: the symmetric Kullback-Leibler divergence of two histograms; 0 for equal ones.

    Bins that are empty on both days are left out. Source: Yurdakul and Naranjo, Statistical properties of the
    population stability index, Journal of Risk Model Validation 2020 (https://ideas.repec.org/a/rsk/journ5/7725371.html).
    """
    import numpy as np

    pairs = np.asarray([first.counts, today.counts], dtype=float)
    pairs = np.maximum(pairs[:, pairs.sum(axis=0) > 0], _FLOOR)
    if not pairs.shape[1]:
        return 0.0
    expected, actual = pairs / pairs.sum(axis=1, keepdims=True)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def index_by_chance(first: Profile, today: Profile, share: float) -> float:
    """What the index of two samples of one population exceeds in `share` of cases; inf if either is empty.

    It is (1/n + 1/m) times a chi-squared variable of bins - 1 degrees of freedom (Yurdakul and Naranjo 2020).
    """
    from scipy.stats import chi2

    if not first.n or not today.n:
        return float("inf")
    n_bins = sum(1 for counts in zip(first.counts, today.counts, strict=True) if sum(counts))
    return float(chi2.isf(share, max(n_bins - 1, 1)) * (1 / first.n + 1 / today.n))


def largest_gap(first: Profile, today: Profile) -> float | None:
    """Largest difference between the two distribution functions at the edges of the bins; None if either is empty.

    The Kolmogorov-Smirnov statistic is the largest anywhere, so it is this or more. Nulls come before every value.
    """
    import numpy as np

    if not first.n or not today.n:
        return None
    reached = np.cumsum([first.counts, today.counts], axis=1) / [[first.n], [today.n]]
    return float(np.abs(reached[0] - reached[1]).max())
