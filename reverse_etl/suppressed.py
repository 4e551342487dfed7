"""Whom a destination suppresses, while its members are read: on disk, since they may be many.

Vendors that keep suppressions apart from contacts tell a person's status in two places; this joins them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType


@dataclass(frozen=True)
class Suppression:
    """`status` as in `RemoteMember`: 'unsubscribed' by her own word, 'cleaned' where the address does not work."""

    subscriber_hash: str
    email: str
    status: str
    at: datetime | None
    """Where the destination says when."""


class Suppressed:
    """One suppression per address: her word outranks a bounce; of the same kind, the newest."""

    def __init__(self) -> None:
        self._con = sqlite3.connect("")  # a private file, which is gone when it is closed
        self._con.execute(
            "create table suppressed (hash text primary key, email text, status text, at real, taken integer default 0)"
        )

    def __enter__(self) -> Suppressed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._con.close()

    def add(self, found: Iterable[Suppression]) -> None:
        self._con.executemany(
            """insert into suppressed (hash, email, status, at) values (?, ?, ?, ?)
               on conflict (hash) do update set
                   at = case
                       when excluded.status = status then coalesce(max(at, excluded.at), at, excluded.at)
                       when excluded.status = 'unsubscribed' then excluded.at else at
                   end,
                   status = iif('unsubscribed' in (status, excluded.status), 'unsubscribed', status)""",
            [(s.subscriber_hash, s.email, s.status, s.at and s.at.replace(tzinfo=UTC).timestamp()) for s in found],
        )

    def take(self, hashes: Sequence[str]) -> dict[str, Suppression]:
        """Those of these people who are suppressed; `rest` does not name them any more."""
        wanted = json.dumps(list(hashes))
        among = "hash in (select value from json_each(?))"
        rows = self._con.execute(f"select hash, email, status, at from suppressed where {among}", [wanted])
        found = {row[0]: _suppression(*row) for row in rows}
        self._con.execute(f"update suppressed set taken = 1 where {among}", [wanted])
        return found

    def rest(self, size: int) -> Iterator[list[Suppression]]:
        """Pages of those whom nobody has taken."""
        last = ""
        while True:
            rows = self._con.execute(
                """select hash, email, status, at from suppressed
                   where hash > ? and not taken order by hash limit ?""",
                [last, size],
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [_suppression(*row) for row in rows]


def _suppression(subscriber_hash: str, email: str, status: str, at: float | None) -> Suppression:
    when = None if at is None else datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    return Suppression(subscriber_hash, email, status, when)
