"""Purchase histories of buyers: as of today, and as of past cut-offs with what came after them.

Nothing is computed here but units: `profile_features` and `churn_training_set` come from one macro, so that back-test
and scoring cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from ml_jobs.errors import FeatureTableError
from ml_jobs.io import micros, read_table, require_columns
from ml_jobs.lifetime_value.histories import Histories
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

DAY = 86_400_000_000
"""Microseconds."""
_COLUMNS = (
    "purchase_days_lifetime", "days_since_first_purchase", "recency_days", "revenue_lifetime", "first_day_revenue",
)  # fmt: skip
_AHEAD = ("purchase_days_ahead", "revenue_ahead")


@dataclass(frozen=True)
class Buyers:
    """Everybody who has bought, ordered by profile, in days and money."""

    as_of_on: date | None
    """The local day of the clock, from which days are counted; None without buyers."""
    profile_ids: np.ndarray
    histories: Histories
    features: np.ndarray
    """float64 (people, features) for the trees, nan for null."""


@dataclass(frozen=True)
class Snapshots:
    """One row per buyer and complete cut-off, ordered by cut-off and profile. Instants are microseconds since 1970."""

    cutoff: np.ndarray
    horizon_end: np.ndarray
    histories: Histories
    features: np.ndarray
    """float64 (rows, features) for the trees, nan for null."""
    revenue_before: np.ndarray
    """All that was spent before the cut-off."""
    purchases: np.ndarray
    """Purchase days in [cutoff, horizon_end)."""
    revenue: np.ndarray
    """What they brought, net: less than nothing where more was credited than bought."""

    @property
    def spent(self) -> np.ndarray:
        """What models learn and are tried on: nobody spends less than nothing, nor is anybody expected to."""
        import numpy as np

        return np.maximum(self.revenue, 0)

    @property
    def horizon_days(self) -> int:
        """Days from the newest cut-off to the end of its horizon, which is that of all."""
        newest = self.cutoff.argmax()
        return round(int(self.horizon_end[newest] - self.cutoff[newest]) / DAY)

    def rows(self, which: np.ndarray) -> Snapshots:
        """The rows of a mask."""
        people = self.histories
        return Snapshots(
            self.cutoff[which],
            self.horizon_end[which],
            Histories(people.frequency[which], people.recency[which], people.age[which], people.value[which]),
            self.features[which],
            self.revenue_before[which],
            self.purchases[which],
            self.revenue[which],
        )


def _selected(names: Iterable[str]) -> str:
    return ", ".join(f'cast("{name}" as double precision) as "{name}"' for name in dict.fromkeys(names))


def _matrix(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    import numpy as np

    columns = [table.column(name).to_numpy() for name in names]
    return np.column_stack(columns).astype(np.float64) if names else np.empty((table.num_rows, 0))


def _histories(table: pa.Table) -> Histories:
    import numpy as np

    days, first, last, revenue, on_first_day = (table.column(name).to_numpy() for name in _COLUMNS)
    again = days - 1
    # what was sent back may be more than what the later days brought
    value = np.maximum(revenue - on_first_day, 0) / np.where(again > 0, again, 1)
    return Histories(again, np.where(again > 0, first - last, 0), first, np.where(again > 0, value, np.nan))


def read_snapshots(settings: Settings, as_of: datetime, names: Sequence[str]) -> Snapshots:
    """All rows whose horizon had ended by `as_of`, with the columns `names` for the trees.

    Raises:
        FeatureTableError: a relation or columns are missing.
    """
    schema = settings.schema
    with connect(settings, read_only=True, purpose="read purchase histories of the past") as con:
        require_columns(con, schema, {"churn_training_set": ["as_of", "horizon_ends_at", *_COLUMNS, *_AHEAD, *names]})
        table = read_table(
            con,
            f"""select as_of as cutoff, horizon_ends_at, {_selected((*_COLUMNS, *_AHEAD, *names))}
                from "{schema}".churn_training_set
                where horizon_ends_at <= ? and purchase_days_lifetime > 0 order by cutoff, profile_id""",
            [as_of],
        )
    return Snapshots(
        cutoff=micros(table, "cutoff", missing=0),
        horizon_end=micros(table, "horizon_ends_at", missing=0),
        histories=_histories(table),
        features=_matrix(table, names),
        revenue_before=table.column("revenue_lifetime").to_numpy(),
        purchases=table.column("purchase_days_ahead").to_numpy(),
        revenue=table.column("revenue_ahead").to_numpy(),
    )


def read_buyers(settings: Settings, as_of: datetime, names: Sequence[str]) -> Buyers:
    """Everybody who has bought by the clock's `as_of`, with the columns `names` for the trees.

    Raises:
        FeatureTableError: the relation or columns of it are missing, or it was built for another `as_of`.
    """
    import numpy as np

    schema = settings.schema
    with connect(settings, read_only=True, purpose="read purchase histories") as con:
        require_columns(con, schema, {"profile_features": ["profile_id", "as_of", "as_of_on", *_COLUMNS, *names]})
        dates = con.execute(f'select distinct as_of, as_of_on from "{schema}".profile_features').fetchall()
        if any(built != as_of for built, _ in dates):
            raise FeatureTableError(
                f"'profile_features' was built for {dates[0][0]}, but the clock stands at {as_of}.",
                where=f"schema {schema}",
                todo="run `mailwright build`",
            )
        table = read_table(
            con,
            f'select profile_id, {_selected((*_COLUMNS, *names))} from "{schema}".profile_features '
            "where purchase_days_lifetime > 0 order by profile_id",
        )
    ids = np.asarray(table["profile_id"].to_pylist(), dtype=object)
    return Buyers(dates[0][1] if dates else None, ids, _histories(table), _matrix(table, names))
