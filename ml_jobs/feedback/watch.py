"""What the feedback says of a job's newest day: for the checks, and for whoever trains again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ml_jobs.feedback.record import Drift, day_of
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb


REST = timedelta(days=7)
"""A training whose model stayed aside is the answer for so long."""


@dataclass(frozen=True)
class Outcome:
    """One row of `model_outcomes`."""

    as_of_on: date
    model_version: str
    metric: str
    n: int
    value: float
    back_test: float
    is_decayed: bool

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:.4f} on what came after {self.as_of_on} ({self.n:,} people), "
            f"{self.back_test:.4f} in the back-test"
        )


@dataclass(frozen=True)
class Uplift:
    """One row of `recommendation_uplift`."""

    as_of_on: date
    model_version: str
    measure: str
    n_treated: int
    n_held_out: int
    uplift: float | None
    """What people who were offered personal products have more than those who were held out; None: a group is empty."""
    low: float | None
    """Lower end of the 95 % interval; None: too few buyers to tell."""
    high: float | None
    is_harmful: bool
    """The interval lies wholly below 0."""

    def __str__(self) -> str:
        found = "unknown" if self.uplift is None else f"{self.uplift:+.4f}"
        between = "too few buyers to tell" if self.low is None else f"95 %: {self.low:+.4f} to {self.high:+.4f}"
        return f"{found} ({between}; {self.n_treated:,} people, {self.n_held_out:,} held out)"


@dataclass(frozen=True)
class Watch:
    """The newest day of one job."""

    job: str
    as_of_on: date | None = None
    """Of the newest scoring; None if nothing was scored yet."""
    model_version: str | None = None
    """What scored then."""
    drift: tuple[Drift, ...] = ()
    """That day beside the model's first."""
    outcomes: tuple[Outcome, ...] = ()
    """Of the newest day whose horizon is over; often of an earlier model."""
    is_answered: bool = False
    """A training was tried on that day or later, so that there is nothing new to learn from; or within REST before it,
    and its model is not live: what scores drifts on, and another training a day would end in the same way."""

    @property
    def drifted(self) -> list[str]:
        """What is not as on the model's first day, in words."""
        return [f"{one} ({one.limit:.2f} at most)" for one in self.drift if one.is_over]

    @property
    def decayed(self) -> list[str]:
        """What is worse than the back-test promised, in words."""
        return [str(one) for one in self.outcomes if one.is_decayed]

    @property
    def reasons_to_train(self) -> list[str]:
        """Why the model that scores should be replaced; none if a training has answered."""
        if self.is_answered:
            return []
        ours = [str(one) for one in self.outcomes if one.is_decayed and one.model_version == self.model_version]
        return self.drifted + ours


def watch(settings: Settings, jobs: Sequence[str]) -> list[Watch]:
    """The newest day of each job.

    Raises:
        RetriableError: the warehouse is busy. DataError: there is none yet.
    """
    with connect(settings, read_only=True, purpose="look at the feedback") as con:
        return [_watch(con, settings, job) for job in jobs]


def uplifts(settings: Settings) -> list[Uplift]:
    """What recommendations brought, by day, oldest first; none where nobody is held out, or no horizon is over.

    Raises:
        RetriableError: the warehouse is busy. DataError: there is none yet.
    """
    with connect(settings, read_only=True, purpose="look at the uplift") as con:
        # a project of one's own may have no such mart
        if not _exists(con, settings.schema, "recommendation_uplift"):
            return []
        rows = con.execute(
            "select as_of_on, model_version, measure, n_treated, n_held_out, uplift, uplift_low, uplift_high, "
            f'is_harmful from "{settings.schema}".recommendation_uplift order by as_of_on, model_version, measure'
        ).fetchall()
    return [Uplift(*row) for row in rows]


def _watch(con: duckdb.DuckDBPyConnection, settings: Settings, job: str) -> Watch:
    ml = settings.ml_schema
    if not _exists(con, ml, "drift"):
        return Watch(job)
    outcomes = tuple(_outcomes(con, settings.schema, job))
    rows = con.execute(
        f'select as_of_on, model_version, kind, name, value, limit_value, n_first, n, largest_gap from "{ml}".drift '
        f'where job = ? and as_of_on = (select max(as_of_on) from "{ml}".drift where job = ?) '
        "order by is_over desc, value desc, kind, name",
        [job, job],
    ).fetchall()
    if not rows:
        return Watch(job, outcomes=outcomes)
    day, version = rows[0][:2]
    # a refused training has no artefact; before models were held against each other, each went live
    trained = con.execute(
        "select as_of, artefact_sha256 is not null and coalesce(is_live, true) "
        f'from "{ml}".model_runs where job = ? order by as_of desc, trained_at desc, model_version limit 1',
        [job],
    ).fetchall()
    return Watch(
        job,
        day,
        version,
        tuple(Drift(*row[2:]) for row in rows),
        outcomes,
        is_answered=any(day_of(at) >= day or (not is_live and day_of(at) > day - REST) for at, is_live in trained),
    )


def _outcomes(con: duckdb.DuckDBPyConnection, schema: str, job: str) -> list[Outcome]:
    # a project of one's own may have no such mart
    if not _exists(con, schema, "model_outcomes"):
        return []
    rows: list[tuple[Any, ...]] = con.execute(
        f'select as_of_on, model_version, metric, n, value, back_test, is_decayed from "{schema}".model_outcomes '
        f'where job = ? and as_of_on = (select max(as_of_on) from "{schema}".model_outcomes where job = ?) '
        "order by metric, model_version",
        [job, job],
    ).fetchall()
    return [Outcome(*row) for row in rows]


def _exists(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    return bool(
        con.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?", [schema, table]
        ).fetchall()
    )
