"""Mails that were sent, counted by person, local hour and weekday: what dbt says of each, added up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs.io import codes_of, read_table, require_columns
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np

HOURS, WEEKDAYS = 24, 7
_COLUMNS = ("profile_id", "sent_at", "settled_at", "local_hour", "local_weekday", "is_clicked")


@dataclass(frozen=True)
class Sends:
    """Cells of a person's mails of one hour and weekday, ordered by person. Arrays have shape (cells,), int64."""

    n_people: int
    person: np.ndarray
    """0..n_people - 1."""
    hour: np.ndarray
    """0..23"""
    weekday: np.ndarray
    """0 (Monday)..6"""
    sends: np.ndarray
    """At least one."""
    clicks: np.ndarray
    """Mails with a human click, at most `sends`."""

    def cells(self, which: np.ndarray) -> Sends:
        """The cells of a mask; the people stay."""
        columns = (self.person, self.hour, self.weekday, self.sends, self.clicks)
        return Sends(self.n_people, *(column[which] for column in columns))

    def people(self, start: int, end: int) -> Sends:
        """The people of [start, end), numbered from 0."""
        some = self.cells((self.person >= start) & (self.person < end))
        return Sends(
            min(end, self.n_people) - start, some.person - start, some.hour, some.weekday, some.sends, some.clicks
        )

    def by(self, axis: np.ndarray, n: int, values: np.ndarray) -> np.ndarray:
        """Sums of `values` (cells,) per person and position on an axis: float64 (n_people, n)."""
        import numpy as np

        flat = np.bincount(self.person * n + axis, weights=values, minlength=self.n_people * n)
        return flat.reshape(self.n_people, n)


@dataclass(frozen=True)
class Outcomes:
    """All mails whose time to be answered had passed, in cells of `sends`."""

    profile_ids: np.ndarray
    """Of the people, sorted."""
    sends: Sends
    """A person, hour and weekday may have several cells: one for each of the masks below."""
    is_before: np.ndarray
    """bool (cells,): it was known when the newest window began whether they were answered."""
    is_tested: np.ndarray
    """bool (cells,): sent in the newest window."""
    window_begins_at: datetime

    @property
    def before(self) -> Sends:
        """What was known when the newest window began."""
        return self.sends.cells(self.is_before)

    @property
    def tested(self) -> Sends:
        """Mails of the newest window."""
        return self.sends.cells(self.is_tested)


def read_outcomes(settings: Settings, as_of: datetime, window_begins_at: datetime) -> Outcomes:
    """Mails by `as_of`, of everybody who has an address: who got none has no cells.

    Raises:
        FeatureTableError: a relation or columns are missing.
    """
    import numpy as np

    schema = settings.schema
    with connect(settings, read_only=True, purpose="read outcomes of mails") as con:
        require_columns(con, schema, {"send_outcomes": _COLUMNS, "dim_profiles": ["profile_id", "email"]})
        people = read_table(
            con, f'select profile_id from "{schema}".dim_profiles where email is not null order by profile_id'
        )
        table = read_table(
            con,
            f"""select profile_id, local_hour, local_weekday,
                    settled_at < ? as is_before, sent_at >= ? as is_tested,
                    count(*) as sends, count(*) filter (is_clicked) as clicks
                from "{schema}".send_outcomes
                where settled_at < ?
                    and profile_id in (select profile_id from "{schema}".dim_profiles where email is not null)
                group by all order by all""",
            [window_begins_at, window_begins_at, as_of],
            encode=["profile_id"],
        )
    profile_ids = np.asarray(people["profile_id"].to_pylist(), dtype=object)
    sends = Sends(
        n_people=len(profile_ids),
        person=codes_of(table, "profile_id", profile_ids),
        hour=table["local_hour"].to_numpy().astype(np.int64),
        weekday=table["local_weekday"].to_numpy().astype(np.int64) - 1,
        sends=table["sends"].to_numpy().astype(np.int64),
        clicks=table["clicks"].to_numpy().astype(np.int64),
    )
    is_before, is_tested = (np.asarray(table[name].to_pylist(), dtype=bool) for name in ("is_before", "is_tested"))
    return Outcomes(profile_ids, sends, is_before, is_tested, window_begins_at)
