"""What the stores of all twins are: one SQLite file, with counters, a log of requests and a history of statuses."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

KEPT_REQUESTS = 10_000
"""How many requests the log keeps: what came before is forgotten, a thousand at a time."""

_TABLES = """
create table if not exists counters (name text primary key, value integer not null);
create table if not exists request_log (
    seq integer primary key autoincrement, at text not null, method text not null, path text not null, status integer,
    records integer, is_throttled integer not null default 0, fault text not null default '');
create table if not exists status_history (
    seq integer primary key autoincrement, person text not null, at text not null, status text not null,
    detail text not null default '');
create index if not exists status_history_by_person on status_history (person, seq);
"""
"""`request_log.status` is null while there is no answer, and stays so if none ever came. `status_history` is filled by
triggers of the twins, and holds changes alone, not what somebody came with."""


class FileStore:
    """The SQLite file; every method is one short transaction, so that a killed twin comes back as it was."""

    def __init__(self, path: Path | str, tables: str, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.RLock()
        self._con = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._con.row_factory = sqlite3.Row
        self._con.execute("pragma journal_mode = wal")
        self._con.execute("pragma synchronous = off")
        self._con.executescript(_TABLES + tables)

    def close(self) -> None:
        with self._lock:
            self._con.close()

    def __enter__(self) -> Self:
        """One transaction over several calls."""
        self._lock.acquire()
        self._con.execute("begin immediate")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._con.execute("commit" if kind is None else "rollback")
        self._lock.release()

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._con.execute(sql, values).fetchall()

    def _run(self, sql: str, *values: Any) -> int:
        """How many rows it changed."""
        with self._lock:
            return self._con.execute(sql, values).rowcount

    def read(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """For those that show what is held."""
        return [dict(row) for row in self._rows(sql, *values)]

    # counters

    def count(self, name: str, by: int = 1) -> None:
        self._run(
            "insert into counters values (?, ?) on conflict (name) do update set value = value + excluded.value",
            name, by,
        )  # fmt: skip

    def counters(self) -> dict[str, int]:
        return {row["name"]: row["value"] for row in self._rows("select * from counters order by name")}

    # the log of requests: neither headers nor bodies, so that no key and nobody's data can be in it

    def log_request(self, method: str, path: str) -> int:
        """Begin an entry; its number."""
        at = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            made = self._con.execute("insert into request_log (at, method, path) values (?, ?, ?)", (at, method, path))
            seq = int(made.lastrowid or 0)
            if seq % 1000 == 0:
                self._con.execute("delete from request_log where seq <= ?", (seq - KEPT_REQUESTS,))
        return seq

    def log_answer(self, seq: int, *, status: int | None, records: int | None, is_throttled: bool, fault: str) -> None:
        self._run(
            "update request_log set status = ?, records = ?, is_throttled = ?, fault = ? where seq = ?",
            status, records, is_throttled, fault, seq,
        )  # fmt: skip

    def requests(self, before: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """Newest first."""
        return self.read("select * from request_log where seq < ? order by seq desc limit ?", before or 2**62, limit)

    def history(self, person: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return self.read("select at, status, detail from status_history where person = ? order by seq", person)
