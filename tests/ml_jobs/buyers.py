"""Buyers to fit and to predict: CDNOW's, a gift shop's, and simulated ones, event by event as the models have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb
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


def online_retail(path: Path, cutoff: str, n_days: int) -> tuple[Histories, np.ndarray]:
    """(histories in days at `cutoff`, purchase days within `n_days` after it), per buyer."""
    rows = duckdb.sql(
        f"""
        with days as (
            select "CustomerID" as buyer, cast("InvoiceDate" as date) as day, sum("Quantity" * "UnitPrice") as paid
            from '{path}'
            where "CustomerID" is not null and not starts_with("InvoiceNo", 'C') and "Quantity" > 0 and "UnitPrice" > 0
            group by all
        ),
        known as (select *, min(day) over (partition by buyer) as first from days where day < date '{cutoff}'),
        later as (select buyer, count(*) as n from days
            where day >= date '{cutoff}' and day < date '{cutoff}' + {n_days} group by buyer)
        select count(*) - 1 as x, max(day) - min(day) as recency, date '{cutoff}' - min(day) as age,
            avg(paid) filter (day > first) as mean, coalesce(any_value(later.n), 0) as n
        from known left join later using (buyer) group by buyer order by buyer"""
    ).fetchnumpy()
    columns = (np.ma.filled(rows[name].astype(float), np.nan) for name in ("x", "recency", "age", "mean"))
    return Histories(*columns), np.asarray(rows["n"])


class Rates(NamedTuple):
    """Parameters of BG/NBD."""

    r: float
    alpha: float
    a: float
    b: float
    """Infinite: nobody is ever gone."""


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
    rates: Rates,
    spend: tuple[float, float, float] = (6.0, 4.0, 15.0),
    horizons: tuple[float, ...] = (1.0,),
) -> Simulated:
    """Everybody's purchases one by one, until all are gone or past the last horizon."""
    n, (p, q, gamma), (r, alpha, a, b) = len(age), spend, rates
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
