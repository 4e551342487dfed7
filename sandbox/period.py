"""The simulated period, cut into weeks for the rhythm of activity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from sandbox.arrays import DAY, HOUR, WEEK, Floats, Ints, micros


@dataclass(frozen=True)
class Period:
    """[start, end) in microseconds since 1970."""

    start: int
    end: int

    @classmethod
    def of(cls, starts_at: datetime, ends_at: datetime) -> Period:
        """From naive UTC instants."""
        return cls(micros(starts_at), micros(ends_at))

    @property
    def length(self) -> int:
        """Microseconds."""
        return self.end - self.start

    @property
    def n_weeks(self) -> int:
        """Weeks begun."""
        return -(-self.length // WEEK)

    def week_of(self, at: Ints) -> Ints:
        """Week index of instants, clipped to the period."""
        return ((at - self.start) // WEEK).clip(0, self.n_weeks - 1)

    def season(self) -> Floats:
        """Relative demand per week: higher before the holidays, lower in high summer."""
        middle = self.start + np.arange(self.n_weeks) * WEEK + WEEK // 2
        day = (middle // DAY) % 365.25
        holidays = np.exp(-0.5 * ((day - 340) / 18) ** 2)
        return 1.0 + 0.5 * holidays - 0.15 * np.exp(-0.5 * ((day - 205) / 25) ** 2)

    def instants_in_week(self, rng: np.random.Generator, week: Ints, utc_hours: Floats) -> Ints:
        """A plausible instant in each given week: local daytime, evenings most, weekends a little more.

        Late in the last week there may be no room: those instants are drawn evenly from what is left.
        """
        n = len(week)
        day = _draw(rng, _WEEKDAY, n)
        hour = _draw(rng, _HOURS, n)
        local = day * DAY + hour * HOUR + rng.integers(0, HOUR, n)
        # weeks begin on any weekday: the shape over days is what matters, not its names
        at = self.start + week * WEEK + local - (utc_hours * HOUR).astype(np.int64)
        begin = self.start + week * WEEK
        room = np.minimum(self.end - begin, WEEK)
        outside = (at < self.start) | (at >= self.end)
        return np.where(outside, begin + (rng.random(n) * room).astype(np.int64), at)


_WEEKDAY = np.cumsum([0.14, 0.14, 0.13, 0.13, 0.13, 0.16, 0.17])
_HOUR_WEIGHTS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 7, 9, 8, 7, 7, 7, 8, 9, 11, 12, 11, 8, 4], dtype=float)
_HOURS = np.cumsum(_HOUR_WEIGHTS / _HOUR_WEIGHTS.sum())


def _draw(rng: np.random.Generator, cdf: Floats, n: int) -> Ints:
    return np.searchsorted(cdf, rng.random(n), side="right").clip(0, len(cdf) - 1)
