"""Between which numbers a person's purchases, and their value, will lie: quantiles of what the models predict.

They are computed, not drawn. The number is the smaller of two independent ones whose distributions are known
(`purchases.p_at_least`). Given the number n, the value over (gamma + total paid so far) is a Gamma(p n) over a
Gamma(q + p x): a beta prime whatever the person, so that one table per x serves all with x repeat purchases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.lifetime_value.bg_nbd import BgNbd
from ml_jobs.lifetime_value.gamma_gamma import GammaGamma
from ml_jobs.lifetime_value.histories import Timing
from ml_jobs.lifetime_value.purchases import by_frequency, p_alive, p_at_least, p_purchase

if TYPE_CHECKING:
    import numpy as np

_REMOTE = 1e-6
"""Probability of more purchases than are looked at."""
_EXACT = 24
"""Numbers of purchases up to this one have a column each in the tables; beyond, those within 5 % share one."""
_RATIO = 1.05
_GRID_STEP = 0.025
"""Of the values' logarithms, between which quantiles are interpolated."""
_TAIL = 1e-4
_CELLS = 1 << 21
"""Numbers held at once in a matrix: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """Quantiles (people,) at (1 − coverage) / 2 and 1 minus that. Both are 0 for many: a purchase is rarely likely."""

    low: np.ndarray
    high: np.ndarray


def intervals(
    purchases: BgNbd, values: GammaGamma | None, people: Timing, horizon: float, coverage: float
) -> tuple[Interval, Interval]:
    """Of the number of purchases within `horizon`, and of their value over (gamma + frequency × mean value).

    The quantile is the least number that is reached with the level's probability or more, so a number's interval
    covers `coverage` at least. The values' are nan without `values`.
    """
    import numpy as np

    n_people, levels = len(people.frequency), ((1 - coverage) / 2, (1 + coverage) / 2)
    number = np.zeros((2, n_people))
    share = np.zeros((2, n_people)) if values is not None else np.full((2, n_people), np.nan)
    alive, any_purchase = p_alive(purchases, people), p_purchase(purchases, people, horizon)
    # with less, both quantiles are 0
    likely = any_purchase > 1 - levels[1]
    # people of one width look at the same numbers of purchases, whoever is beside them
    width = np.ceil(2 * np.log2(horizon / (purchases.alpha + people.age)))
    for x, of_x in by_frequency(people):
        of_x = of_x[likely[of_x]]
        for each in np.unique(width[of_x]):
            of_width = of_x[width[of_x] == each]
            looked_at = _numbers(purchases.r + x, float(2 ** (each / 2)))
            table = None if values is None else _Table.of(values, x, looked_at)
            at_once = max(1, _CELLS // (len(looked_at) if table is None else max(len(looked_at), len(table.log_value))))
            for start in range(0, len(of_width), at_once):
                part = of_width[start : start + at_once]
                age, still = people.age[part, None], alive[part, None]
                tail = p_at_least(purchases, x, age, still, horizon, looked_at)
                for row, level in enumerate(levels):
                    number[row, part] = _number(purchases, x, age, still, horizon, looked_at, tail, level)
                    if table is not None:
                        share[row, part] = table.quantile(tail, level)
    return Interval(*number), Interval(*share)


def _numbers(shape: float, reach: float) -> np.ndarray:
    """Numbers of purchases to look at, 1 first: all, then every 5 %, until more are too unlikely at this reach."""
    import numpy as np
    from scipy.stats import nbinom

    most = max(2, int(nbinom.isf(_REMOTE, shape, 1 / (1 + reach))) + 1)
    exact = np.arange(1, min(most, _EXACT) + 1, dtype=np.float64)
    if most <= _EXACT:
        return exact
    n_more = int(np.ceil(np.log(most / _EXACT) / np.log(_RATIO)))
    return np.unique(np.concatenate((exact, np.ceil(_EXACT * _RATIO ** np.arange(1, n_more + 1)))))


def _number(
    model: BgNbd,
    x: float,
    age: np.ndarray,
    alive: np.ndarray,
    horizon: float,
    looked_at: np.ndarray,
    tail: np.ndarray,
    level: float,
) -> np.ndarray:
    """The least n with P(more than n) ≤ 1 − level, (people,): found among those looked at, then between two of them."""
    import numpy as np

    # the last number that is reached too often to be n + 1, and the next one, which is not
    reached = (tail > 1 - level).sum(axis=1)
    bounds = np.concatenate(([0.0], looked_at, [looked_at[-1] + 1]))
    low, high = bounds[reached], bounds[reached + 1]
    while (open_ := np.flatnonzero(high - low > 1)).size:
        middle = np.floor((low[open_] + high[open_]) / 2)
        is_reached = p_at_least(model, x, age[open_, 0], alive[open_, 0], horizon, middle) > 1 - level
        low[open_] = np.where(is_reached, middle, low[open_])
        high[open_] = np.where(is_reached, high[open_], middle)
    return low


@dataclass(frozen=True)
class _Table:
    """P(share ≤ v) for each number of purchases, of people with one frequency."""

    log_value: np.ndarray
    """(grid,), ascending."""
    below: np.ndarray
    """(numbers, grid)."""

    @classmethod
    def of(cls, model: GammaGamma, x: float, looked_at: np.ndarray) -> _Table:
        import numpy as np
        from scipy.special import betainc, betaincinv

        rest = model.q + model.p * x
        # purchases in one column count as their middle
        middle = np.append((looked_at[:-1] + looked_at[1:] - 1) / 2, looked_at[-1])
        least = betaincinv(model.p, rest, _TAIL)
        # of 1 − fraction, which the fraction itself would round away
        most = betaincinv(rest, model.p * middle[-1], _TAIL)
        steps = np.log([max(least / (1 - least), 1e-100), (1 - most) / most]) / _GRID_STEP
        log_value = np.arange(np.floor(steps[0]), np.ceil(steps[1]) + 1) * _GRID_STEP
        fraction = 1 / (1 + np.exp(-log_value))
        return cls(log_value, betainc(model.p * middle[:, None], rest, fraction))

    def quantile(self, tail: np.ndarray, level: float) -> np.ndarray:
        """The value that is not exceeded with probability `level`; 0 where no purchase is as likely as that."""
        import numpy as np

        probability = tail.copy()
        probability[:, :-1] -= tail[:, 1:]
        none = 1 - tail[:, 0]
        below = probability @ self.below + none[:, None]
        above = np.clip((below < level).sum(axis=1), 1, len(self.log_value) - 1)
        rows = np.arange(len(tail))
        low, high = below[rows, above - 1], below[rows, above]
        step = np.clip((level - low) / np.maximum(high - low, 1e-300), 0, 1)
        value = np.exp(self.log_value[above] - (1 - step) * _GRID_STEP)
        return np.where(none >= level, 0.0, value)
