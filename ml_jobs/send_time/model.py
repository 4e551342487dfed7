"""Click rates by hour and weekday: everybody's, times what a person's own mails say of her or him.

    rate(person, hour, weekday) = rate * hours[hour] * weekdays[weekday] * own(person, hour) * own(person, weekday)

The population's factors are shrunk towards 1. A person's of an hour is shrunk towards what the mails of the other hours
say of how often the person clicks at all, and that towards 1; of a weekday towards what the hours say. It is the same
shrinkage every time (`shrinkage.py`), each by a strength of its own. Who was sent nothing has factors of exactly 1. A
rate is of mails that were sent, so that it does not matter at which hours one happened to send many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, get_args

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.features import HOURS, WEEKDAYS, Sends
from ml_jobs.shrinkage import STRONGEST, fit_strength, joint, posterior

if TYPE_CHECKING:
    import numpy as np

Method = Literal["personal", "own_rate", "population"]
METHODS: tuple[Method, ...] = get_args(Method)
"""The model; the same without preferences, that is, a person's own rate at everybody's hours; everybody's rates."""
_MOST = 0.99


@dataclass(frozen=True)
class Factors:
    """What people's own mails say, relative to the population."""

    hours: np.ndarray
    """float64 (people, 24)"""
    weekdays: np.ndarray
    """float64 (people, 7)"""


@dataclass(frozen=True)
class SendTimeModel:
    """Rates of the population, and how far people differ from them."""

    rate: float
    """Clicks per mail."""
    hours: tuple[float, ...]
    """Factor of each hour, 24 of them."""
    weekdays: tuple[float, ...]
    """Factor of each weekday from Monday, 7 of them."""
    sends_by_hour: tuple[int, ...]
    sends_by_weekday: tuple[int, ...]
    person_strength: float
    """How many mails at the population's rate it takes to outweigh a person's own. At STRONGEST people do not differ,
    of this strength and of the next two."""
    hour_strength: float
    """The same of a person's mails of one hour, against those of the others."""
    weekday_strength: float
    """The same of a person's mails of one weekday, against what their hours say."""
    hour_reach: int
    """See SendTimeConfig."""
    min_sends: int = 1
    """Mails, to whomever, at an hour or on a weekday that is offered (SendTimeConfig.min_expected_clicks). Models from
    before there was such a limit were content with one."""

    def population(self) -> np.ndarray:
        """Click rates of everybody, float64 (24, 7)."""
        import numpy as np

        return np.clip(self.rate * np.outer(self.hours, self.weekdays), 0, _MOST)

    def factors(self, past: Sends) -> Factors:
        """Of each of the people of `past`, by their mails in it."""
        import numpy as np

        rates = self.population()[past.hour, past.weekday]
        by_hour = self.hour_cells(past, rates)
        if self.hour_strength < STRONGEST:
            hours = by_hour.relative(self.others(by_hour), joint(self.hour_strength, self.known_of_others(by_hour)))
        else:
            hours = np.repeat(self._own_rate(by_hour.clicks_in_all, by_hour.expected_in_all), HOURS, axis=1)
        weekdays = np.ones((past.n_people, WEEKDAYS))
        if self.weekday_strength < STRONGEST:
            # weekdays explain what hours leave
            by_weekday = Cells.of(past, past.weekday, WEEKDAYS, rates * hours[past.person, past.hour])
            weekdays = by_weekday.relative(weekdays, self.weekday_strength)
        return Factors(hours, weekdays)

    def hour_cells(self, past: Sends, rates: np.ndarray) -> Cells:
        """A person's mails of each hour and those within reach of it."""
        return Cells.of(past, past.hour, HOURS, rates, self.hour_reach)

    def others(self, cells: Cells) -> np.ndarray:
        """How often a person clicks mails of all other positions, relative to what is expected.

        A position is held against them, and its mails do not count on both sides: else who clicks often would seem to
        prefer the very hours at which mail was sent.
        """
        return self._own_rate(cells.clicks_in_all - cells.clicks, cells.expected_in_all - cells.expected)

    def _own_rate(self, clicks: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Clicks relative to what is expected, shrunk towards 1."""
        import numpy as np

        if self.person_strength >= STRONGEST:
            return np.ones_like(clicks)
        worth = self.person_strength * self.rate
        return (worth + clicks) / (worth + expected)

    def known_of_others(self, cells: Cells) -> np.ndarray:
        """How many mails that is worth."""
        return self.person_strength + cells.sends_in_all - cells.sends

    def rates(self, factors: Factors, person: np.ndarray, hour: np.ndarray, weekday: np.ndarray) -> np.ndarray:
        """Click rate of mails (mails,) to a person at an hour and weekday."""
        import numpy as np

        own = factors.hours[person, hour] * factors.weekdays[person, weekday]
        return np.clip(self.population()[hour, weekday] * own, 0, _MOST)

    def hour_order(self) -> np.ndarray:
        """Hours at which enough mail was sent, from the population's best on; of equal ones that of more mails first,
        then the earlier. Of any other hour too little is known: the randomized share of people tries it."""
        return _best_first(self.hours, self.sends_by_hour, self.min_sends)

    def weekday_order(self) -> np.ndarray:
        """Weekdays likewise."""
        return _best_first(self.weekdays, self.sends_by_weekday, self.min_sends)

    def best(self, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        """(hour, weekday) of each person, of those at which enough mail was sent; of equal ones the one that is better
        for everybody."""
        import numpy as np

        hours, weekdays = self.hour_order(), self.weekday_order()
        by_hour = factors.hours[:, hours] * np.asarray(self.hours)[hours]
        by_weekday = factors.weekdays[:, weekdays] * np.asarray(self.weekdays)[weekdays]
        return hours[by_hour.argmax(axis=1)], weekdays[by_weekday.argmax(axis=1)]

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> SendTimeModel:
        return cls(**stored)


@dataclass(frozen=True)
class Cells:
    """A person's mails by position on an axis, hours or weekdays: float64 (people, positions)."""

    sends: np.ndarray
    clicks: np.ndarray
    expected: np.ndarray
    """Clicks if the person were like everybody."""
    sends_in_all: np.ndarray
    """Of the person at all positions, (people, 1); likewise clicks and what is expected."""
    clicks_in_all: np.ndarray
    expected_in_all: np.ndarray

    @classmethod
    def of(cls, past: Sends, axis: np.ndarray, n: int, rates: np.ndarray, reach: int = 0) -> Cells:
        """`rates`: the expected click rate of each cell of `past`; `reach`: positions on either side that count with
        one."""
        each = [past.by(axis, n, values) for values in (past.sends, past.clicks, past.sends * rates)]
        return cls(*(_around(one, reach) for one in each), *(one.sum(axis=1, keepdims=True) for one in each))

    @property
    def mean(self) -> np.ndarray:
        """Expected clicks per mail; 0 where nothing was sent."""
        import numpy as np

        return self.expected / np.maximum(self.sends, 1)

    def relative(self, others: np.ndarray, strength: np.ndarray | float) -> np.ndarray:
        """Rates relative to what is expected, shrunk towards `others`, and the same as these where nothing was sent."""
        import numpy as np

        is_sent = self.sends > 0
        own = posterior(self.clicks, self.sends, np.minimum(self.mean * others, _MOST), strength)
        return np.where(is_sent, own / np.where(is_sent, self.mean, 1), others)


def _around(values: np.ndarray, reach: int) -> np.ndarray:
    """Sums over the positions within reach, the last of which is next to the first."""
    import numpy as np

    return sum((np.roll(values, shift, axis=1) for shift in range(-reach, reach + 1)), np.zeros_like(values))


def _best_first(factors: tuple[float, ...], sends: tuple[int, ...], min_sends: int) -> np.ndarray:
    """Positions with as many mails, or, where none has, with as many as any."""
    import numpy as np

    order = np.lexsort((-np.asarray(sends), -np.asarray(factors)))
    return order[np.asarray(sends)[order] >= min(min_sends, max(sends))]


def fit(past: Sends, config: SendTimeConfig) -> SendTimeModel:
    """The population's rates, then how far people differ in how often, at which hours, and on which weekdays they
    click.

    Raises:
        TrainingRefusedError: fewer clicks than declared, or every mail was clicked.
    """
    import numpy as np

    n_sends, n_clicks = int(past.sends.sum()), int(past.clicks.sum())
    if n_clicks < config.min_clicks:
        raise TrainingRefusedError(f"{n_clicks} of {n_sends} mails were clicked; {config.min_clicks} are needed")
    if n_clicks == n_sends:
        raise TrainingRefusedError(f"all of {n_sends} mails were clicked: no hour is better than another")
    rate = n_clicks / n_sends
    hours = _population(past, past.hour, HOURS, np.full(len(past.hour), rate))
    weekdays = _population(past, past.weekday, WEEKDAYS, rate * hours[past.hour])
    alike = SendTimeModel(
        rate=rate,
        hours=tuple(hours.tolist()),
        weekdays=tuple(weekdays.tolist()),
        sends_by_hour=tuple(np.bincount(past.hour, past.sends, HOURS).astype(int).tolist()),
        sends_by_weekday=tuple(np.bincount(past.weekday, past.sends, WEEKDAYS).astype(int).tolist()),
        person_strength=STRONGEST,
        hour_strength=STRONGEST,
        weekday_strength=STRONGEST,
        hour_reach=config.hour_reach,
        min_sends=max(1, ceil(config.min_expected_clicks / rate)),
    )
    return _with_strengths(alike, _some(past, config))


def _population(past: Sends, axis: np.ndarray, n: int, rates: np.ndarray) -> np.ndarray:
    """Factor of each position, shrunk towards 1 by how far positions differ; 1 where nothing was sent. (n,)"""
    import numpy as np

    sends, clicks = np.bincount(axis, past.sends, n), np.bincount(axis, past.clicks, n)
    expected = np.bincount(axis, past.sends * rates, n)
    mean = expected / np.maximum(sends, 1)
    is_sent = sends > 0
    strength = fit_strength(clicks[is_sent], sends[is_sent], mean[is_sent])
    return np.where(is_sent, posterior(clicks, sends, mean, strength) / np.where(is_sent, mean, 1), 1.0)


def _some(past: Sends, config: SendTimeConfig) -> Sends:
    """People who got mail, numbered anew: as many as declared at most."""
    import numpy as np

    written_to = np.unique(past.person)
    if len(written_to) > config.max_people_to_fit:
        rng = np.random.default_rng(config.seed)
        written_to = np.sort(rng.choice(written_to, config.max_people_to_fit, replace=False))
    some = past.cells(np.isin(past.person, written_to))
    number = np.searchsorted(written_to, some.person)
    return Sends(len(written_to), number, some.hour, some.weekday, some.sends, some.clicks)


def _with_strengths(alike: SendTimeModel, past: Sends) -> SendTimeModel:
    import numpy as np

    rates = alike.population()[past.hour, past.weekday]
    in_all = Cells.of(past, past.hour * 0, 1, rates)
    model = replace(alike, person_strength=_strength(in_all, in_all.mean))
    by_hour = model.hour_cells(past, rates)
    mean = np.minimum(by_hour.mean * model.others(by_hour), _MOST)
    model = replace(model, hour_strength=_strength(by_hour, mean, model.known_of_others(by_hour)))
    by_weekday = Cells.of(past, past.weekday, WEEKDAYS, rates * model.factors(past).hours[past.person, past.hour])
    return replace(model, weekday_strength=_strength(by_weekday, np.minimum(by_weekday.mean, _MOST)))


def _strength(cells: Cells, mean: np.ndarray, known: np.ndarray | None = None) -> float:
    import numpy as np

    is_sent = cells.sends > 0
    known = np.full_like(cells.sends, np.inf) if known is None else known
    return fit_strength(cells.clicks[is_sent], cells.sends[is_sent], mean[is_sent], known[is_sent])


def simpler(model: SendTimeModel, method: Method) -> SendTimeModel:
    """The model in which people do not differ in what `method` leaves out."""
    if method == "personal":
        return model
    without = replace(model, hour_strength=STRONGEST, weekday_strength=STRONGEST)
    return without if method == "own_rate" else replace(without, person_strength=STRONGEST)
