"""Events that a twin was sent, in its SQLite file: who, what, when, with which properties, in the order of arrival."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any


class EventLog:
    """`person` is what the vendor names people by, `key` the vendor's key of an event, where there is one."""

    def __init__(self, con: sqlite3.Connection, lock: threading.RLock) -> None:
        self._con, self._lock = con, lock
        self._con.execute(
            """create table if not exists events (
                   seq integer primary key autoincrement, person text not null, name text not null, key text,
                   occurred_at text not null, properties text not null)"""
        )

    def add(
        self, person: str, name: str, occurred_at: str, properties: Mapping[str, Any], key: str | None = None
    ) -> None:
        with self._lock:
            self._con.execute(
                "insert into events (person, name, key, occurred_at, properties) values (?, ?, ?, ?, ?)",
                (person, name, key, occurred_at, json.dumps(dict(properties), ensure_ascii=False)),
            )

    def has(self, person: str, name: str, key: str) -> bool:
        with self._lock:
            found = self._con.execute(
                "select 1 from events where person = ? and name = ? and key = ?", (person, name, key)
            )
            return found.fetchone() is not None

    def of(self, person: str | None = None) -> list[dict[str, Any]]:
        """Of one person, or all; the oldest arrival first."""
        with self._lock:
            rows = self._con.execute(
                "select * from events where ? is null or person = ? order by seq", (person, person)
            ).fetchall()
        return [{**dict(row), "properties": json.loads(row["properties"])} for row in rows]

    def forget(self, person: str | None = None) -> None:
        with self._lock:
            self._con.execute("delete from events where ? is null or person = ?", (person, person))
