"""Gamma-Gamma: what a buyer spends per purchase, fitted to the mean values of those who bought again.

Source: Fader, Hardie, Lee 2005, "RFM and CLV" (doi:10.1509/jmkr.2005.42.4.415), and Fader, Hardie 2013, "The
Gamma-Gamma model of monetary value". A purchase's value is Gamma(p, nu), and nu is Gamma(q, gamma) over buyers,
whatever the number of their purchases.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.histories import Histories
from ml_jobs.lifetime_value.optimum import maximize

if TYPE_CHECKING:
    import numpy as np

_BOUNDS = {"p": (1e-2, 1e3), "q": (1.01, 1e3), "gamma": (1e-6, 1e6)}
"""With the mean value as the unit of money. At q ≤ 1 the mean over buyers does not exist."""


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model, in the money of the histories."""

    p: float
    """Shape of the values of one buyer's purchases."""
    q: float
    """Shape of the differences between buyers: the smaller, the greater they are."""
    gamma: float
    """Their scale: money."""
    mean_value: float
    """Expected value of a purchase of one of whom nothing is known: p gamma / (q − 1). If a parameter lies on a bound,
    the mean over those it was fitted to, which is there whatever their tail."""
    log_likelihood: float
    n: int
    """Repeat buyers it was fitted to."""
    n_worthless: int
    """Repeat buyers left out, since their purchases came to nothing."""
    correlation: float | None
    """Of number and mean value of repeat purchases (Pearson): the model takes them for independent. None if all have
    the same number."""
    is_converged: bool
    at_boundary: tuple[str, ...] = ()
    """Parameters that lie on a bound. With q, a few buyers spend so much that no mean over buyers is to be trusted."""
    undetermined: tuple[str, ...] = ()
    """Parameters on no bound of which the values do not tell the order of magnitude."""

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> GammaGamma:
        """The model of `to_dict`, or of the same read back from JSON."""
        fields = dict(stored)
        for name in ("at_boundary", "undetermined"):
            fields[name] = tuple(stored[name])
        return cls(**fields)


class Likelihood:
    """Mean log-likelihood over repeat buyers and its gradient by (p, q, gamma), equation 1a of the note of 2013.

    Each buyer's total is Gamma(p x, nu), so all that varies with the buyer is x and the share total / (gamma + total).
    """

    def __init__(self, frequency: np.ndarray, value: np.ndarray) -> None:
        import numpy as np

        self._x, self._group = np.unique(frequency, return_inverse=True)
        self._n_at_x = np.bincount(self._group).astype(np.float64)
        self._frequency, self._total, self._log_total = frequency, frequency * value, np.log(frequency * value)
        self._sum_log_value = float(np.log(value).sum())

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        import numpy as np
        from scipy.special import digamma, gammaln

        p, q, gamma = parameters
        x, n_at_x, n = self._x, self._n_at_x, len(self._total)
        whole = gamma + self._total
        log_whole = np.log(whole)
        log_share = self._log_total - log_whole
        log_rest = n * np.log(gamma) - log_whole.sum()
        weighted_share = self._frequency @ log_share
        value = n_at_x @ (gammaln(p * x + q) - gammaln(p * x)) - n * gammaln(q)
        value += p * weighted_share + q * log_rest - self._sum_log_value
        sum_digamma = digamma(p * x + q)
        by_p = n_at_x @ (x * (sum_digamma - digamma(p * x))) + weighted_share
        by_q = n_at_x @ sum_digamma - n * digamma(q) + log_rest
        by_gamma = n * q / gamma - ((p * self._frequency + q) / whole).sum()
        return float(value / n), np.array([by_p, by_q, by_gamma]) / n


def fit(people: Histories, config: LifetimeValueConfig | None = None) -> GammaGamma:
    """The parameters that make the mean values of repeat buyers likeliest; the same in any order and currency.

    Raises:
        TrainingRefusedError: too few bought again, or all of them spend the same.
    """
    import numpy as np

    config = config or LifetimeValueConfig()
    paid = (people.frequency > 0) & (people.value > 0)
    n, n_worthless = int(paid.sum()), int(((people.frequency > 0) & (people.value == 0)).sum())
    if n < config.min_repeat_buyers:
        raise TrainingRefusedError(f"{n} people paid for a repeat purchase; {config.min_repeat_buyers} are needed")
    # sorted, for sums that are the same in any order
    order = np.lexsort((people.value[paid], people.frequency[paid]))
    frequency, value = people.frequency[paid][order], people.value[paid][order]
    if value.min() == value.max():
        raise TrainingRefusedError("all repeat buyers spend the same on average")
    unit = float(value.mean())
    starts = [(p, q, (q - 1) / p) for p, q in ((5, 4), (1, 2), (20, 10))]
    found = maximize(Likelihood(frequency, value / unit), starts, _BOUNDS, n)
    p, q, gamma = (float(number) for number in found.parameters)
    return GammaGamma(
        p,
        q,
        gamma * unit,
        mean_value=unit if found.at_boundary else p * gamma * unit / (q - 1),
        log_likelihood=n * (found.log_likelihood - float(np.log(unit))),
        n=n,
        n_worthless=n_worthless,
        correlation=float(np.corrcoef(frequency, value)[0, 1]) if frequency[0] < frequency[-1] else None,
        is_converged=found.is_converged,
        at_boundary=found.at_boundary,
        undetermined=found.undetermined,
    )


def expected_value(model: GammaGamma, people: Histories) -> np.ndarray:
    """Expected value of each person's next purchase (people,): between the own mean and that of all (equation 5).

    The more a person has bought, the more the own mean counts; without repeat purchases it is that of all.
    """
    import numpy as np

    own = np.nan_to_num(people.value)
    weight = (model.q - 1) / (model.p * people.frequency + model.q - 1)
    return weight * model.mean_value + (1 - weight) * own
