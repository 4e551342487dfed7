"""Where a local day begins, by the zone's own table: on days whose midnight comes twice, or never, too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from dbt_project import sqlfluff_library as library

ZONES = (
    "UTC", "Europe/Berlin", "Asia/Kolkata",
    "Atlantic/Azores", "America/Havana", "America/Scoresbysund",  # set back over midnight: it comes twice
    "Asia/Beirut", "Africa/Cairo", "America/Asuncion",  # set forward at midnight: it never comes
    "Pacific/Apia",  # left out a whole day, the 30th of December 2011
)  # fmt: skip


def midnights(zone: ZoneInfo) -> dict[date, datetime]:
    """The first quarter of an hour, UTC, of each local day around a change of the clocks, and of leap days."""
    at, end = datetime(2011, 11, 15, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    begins, wanted = {}, set()
    offset = at.astimezone(zone).utcoffset()
    while at < end:
        local = at.astimezone(zone)
        begins.setdefault(local.date(), at.replace(tzinfo=None))
        if local.utcoffset() != offset:
            offset = local.utcoffset()
            wanted |= {local.date() + timedelta(days=days) for days in (-1, 0, 1)}
        if (local.month, local.day) == (2, 29):
            wanted.add(local.date())
        at += timedelta(minutes=15)
    return {day: begins[day] for day in sorted(wanted) if day in begins}


def midnight_sql(zone: str) -> str:
    """The expression of the project's macro, over `day`."""
    return library._macros["local_midnight"]("day", zone)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_when_its_first_event_can_happen(zone: str) -> None:
    wanted = midnights(ZoneInfo(zone))
    with duckdb.connect() as con:
        con.execute("create table given (day date)")
        con.executemany("insert into given values (?)", [[day] for day in wanted])
        found = dict(con.execute(f"select day, {midnight_sql(zone)} from given").fetchall())
    assert len(wanted) > 3
    assert found == wanted
