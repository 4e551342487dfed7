"""What the models know of each buyer, checked; and the same with equal histories put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ml_jobs.errors import HistoriesError

if TYPE_CHECKING:
    import numpy as np


class Timing(Protocol):
    """When people bought: three arrays of one shape, in one unit of time."""

    @property
    def frequency(self) -> np.ndarray: ...
    @property
    def recency(self) -> np.ndarray: ...
    @property
    def age(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Histories:
    """Buyers as of a cut-off, float64 (people,) each. Purchases are distinct purchase days, as in the papers.

    Raises:
        HistoriesError: histories that cannot be.
    """

    frequency: np.ndarray
    """Repeat purchases (x): purchase days after the first one."""
    recency: np.ndarray
    """From the first purchase to the last one (t_x); 0 without a repeat purchase."""
    age: np.ndarray
    """From the first purchase to the cut-off (T)."""
    value: np.ndarray
    """Mean value of the repeat purchases, in money; ignored, and nan from here on, where there is none."""

    def __post_init__(self) -> None:
        import numpy as np

        for name in ("frequency", "recency", "age", "value"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if self.frequency.ndim != 1 or len({getattr(self, name).shape for name in self.__dataclass_fields__}) > 1:
            raise HistoriesError("frequency, recency, age and value must be columns of one length")
        object.__setattr__(self, "value", np.where(self.frequency == 0, np.nan, self.value))
        x, recency, age, value = self.frequency, self.recency, self.age, self.value
        again = x != 0
        wrongs = {
            "not a number": ~np.isfinite(x + recency + age) | (again & ~np.isfinite(value)),
            "a negative number": (x < 0) | (recency < 0) | (age < 0) | (again & (value < 0)),
            "a number of purchases that is not whole": x != np.floor(x),
            "a last purchase after the cut-off": recency > age,
            "a repeat purchase at the instant of the first one, or none at a later one": again != (recency > 0),
        }
        for what, wrong in wrongs.items():
            if wrong.any():
                raise HistoriesError(
                    f"{int(wrong.sum())} of {len(x)} purchase histories have {what}",
                    where=f"row {int(wrong.argmax())}, counted from 0",
                    todo="correct the query that counts purchases; net values below zero count as 0",
                )


@dataclass(frozen=True)
class DistinctHistories:
    """Each history that occurs, once, sorted: likelihoods and predictions are computed on these alone."""

    frequency: np.ndarray
    recency: np.ndarray
    age: np.ndarray
    count: np.ndarray
    """float64 (rows,): people who have this history."""
    of_person: np.ndarray
    """int64 (people,): row of each person's history."""


def distinct(people: Timing) -> DistinctHistories:
    """The distinct histories of `people`, whatever their order: by frequency, then recency, then age."""
    import numpy as np
    import pandas as pd

    key = people.frequency.astype(np.int64)
    for column in (people.recency, people.age):
        code, values = pd.factorize(column, sort=True)
        # dense again after each column, lest the product of three counts overflow
        key, _ = pd.factorize(key * len(values) + code, sort=True)
    n_rows = int(key.max(initial=-1)) + 1
    some = np.empty(n_rows, np.int64)
    some[key] = np.arange(len(key))
    return DistinctHistories(
        people.frequency[some],
        people.recency[some],
        people.age[some],
        np.bincount(key, minlength=n_rows).astype(np.float64),
        np.asarray(key, np.int64),
    )
