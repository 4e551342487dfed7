"""Buyers to fit and to predict: those of CDNOW, and simulated ones, event by event as the models' authors tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml_jobs.lifetime_value.histories import Histories

CALIBRATION_END = pd.Timestamp("1997-09-30")
HOLDOUT_WEEKS = 39


def cdnow(path: Path) -> tuple[Histories, np.ndarray]:
    """(histories in weeks at the end of calibration, purchase days within the 39 weeks after it), per buyer."""
    orders = pd.read_parquet(path)
    days = orders.groupby(["sample_id", "date"], as_index=False).amount.sum()
    known = days[days.date <= CALIBRATION_END]
    first = known.groupby("sample_id").date.min()
    last = known.groupby("sample_id").date.max()
    repeats = known[known.date > known.sample_id.map(first)].groupby("sample_id").amount
    later = days[days.date > CALIBRATION_END]
    assert later.date.max() <= CALIBRATION_END + pd.Timedelta(weeks=HOLDOUT_WEEKS)
    people = Histories(
        repeats.size().reindex(first.index, fill_value=0).to_numpy(),
        ((last - first).dt.days / 7).to_numpy(),
        ((CALIBRATION_END - first).dt.days / 7).to_numpy(),
        repeats.mean().reindex(first.index).to_numpy(),
    )
    return people, later.groupby("sample_id").size().reindex(first.index, fill_value=0).to_numpy()


@dataclass(frozen=True)
class Simulated:
    """Buyers, and what became of them."""

    people: Histories
    is_alive: np.ndarray
    """At the cut-off, (people,)."""
    purchases: np.ndarray
    """After the cut-off, within each horizon: (people, horizons)."""
    value: np.ndarray
    """Of those, (people, horizons)."""
    wait: np.ndarray
    """Until the first purchase after the cut-off, if it comes within the last horizon; else inf."""


def simulate(
    rng: np.random.Generator,
    age: np.ndarray,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
    spend: tuple[float, float, float] = (6.0, 4.0, 15.0),
    horizons: tuple[float, ...] = (1.0,),
) -> Simulated:
    """Everybody's purchases one by one, until all are gone or past the last horizon. `b` inf: nobody is ever gone."""
    n, (p, q, gamma) = len(age), spend
    rate = rng.gamma(r, 1 / alpha, n)
    chance = rng.beta(a, b, n) if np.isfinite(b) else np.zeros(n)
    thrift = rng.gamma(q, 1 / gamma, n)
    clock, is_there = np.zeros(n), np.ones(n, bool)
    is_alive = np.ones(n, bool)
    frequency, recency, paid = np.zeros(n), np.zeros(n), np.zeros(n)
    bought, value = np.zeros((n, len(horizons))), np.zeros((n, len(horizons)))
    wait = np.full(n, np.inf)
    while is_there.any():
        clock = clock + rng.exponential(1, n) / rate
        is_there &= clock <= age + horizons[-1]
        amount = rng.gamma(p, 1 / thrift)
        is_known = is_there & (clock <= age)
        frequency += is_known
        recency[is_known] = clock[is_known]
        paid[is_known] += amount[is_known]
        is_later = is_there & ~is_known
        wait = np.where(is_later, np.minimum(wait, clock - age), wait)
        for column, horizon in enumerate(horizons):
            counts = is_later & (clock <= age + horizon)
            bought[counts, column] += 1
            value[counts, column] += amount[counts]
        is_gone = is_there & (rng.random(n) < chance)
        is_alive &= ~(is_gone & is_known)
        is_there &= ~is_gone
    mean = np.divide(paid, frequency, out=np.full(n, np.nan), where=frequency > 0)
    return Simulated(Histories(frequency, recency, age, mean), is_alive, bought, value, wait)
