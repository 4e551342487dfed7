"""The two clocks: `as_of` (event time) and `known_at` (load time).

Every relative window is measured from `as_of`, never from the wall clock. They lie in the one-row table
`<schema>.clock`, which dbt reads as a source: as `--vars` they would disable dbt's partial parsing.
A row is visible if it happened before `as_of` and had arrived by `known_at`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from warehouse.errors import DataError


@dataclass(frozen=True)
class Clock:
    """Both instants are naive UTC."""

    as_of: datetime
    known_at: datetime


def utcnow() -> datetime:
    """The wall clock, naive UTC: for audit columns only."""
    return datetime.now(UTC).replace(tzinfo=None)


def parse_instant(text: str) -> datetime:
    """`2011-09-01`, `2011-09-01T12:00Z`, … as naive UTC.

    Raises:
        DataError: not an ISO 8601 date or instant.
    """
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DataError(
            f"'{text}' is not a date or instant.", todo="write it as 2011-09-01 or 2011-09-01T12:00:00Z"
        ) from None
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


def set_clock(con: duckdb.DuckDBPyConnection, schema: str, clock: Clock) -> None:
    """Set the one row of `<schema>.clock`."""
    con.execute(f'create schema if not exists "{schema}"')
    con.execute(f'create table if not exists "{schema}".clock (as_of timestamp not null, known_at timestamp not null)')
    con.execute("begin")
    con.execute(f'delete from "{schema}".clock')
    con.execute(f'insert into "{schema}".clock values (?, ?)', [clock.as_of, clock.known_at])
    con.execute("commit")


def read_clock(con: duckdb.DuckDBPyConnection, schema: str) -> Clock:
    """The clock of `schema`.

    Raises:
        DataError: it was never set.
    """
    try:
        rows = con.execute(f'select as_of, known_at from "{schema}".clock').fetchall()
    except duckdb.CatalogException:
        rows = []
    if len(rows) != 1:
        raise DataError(f"Schema '{schema}' has no clock: nothing was built there yet.", todo="run `mailwright build`")
    return Clock(as_of=rows[0][0], known_at=rows[0][1])
