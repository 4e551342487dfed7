"""What the Klaviyo twin holds: profiles, lists, suppressions, jobs under way, in one SQLite file.

What jobs do to profiles lives in `klaviyo_jobs`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.twins.event_log import EventLog
from sandbox.twins.mail import Mail
from sandbox.twins.store import FileStore

DEFAULT_LIST = "KlDemo"

_TABLES = """
create table if not exists profiles (
    seq integer primary key autoincrement, id text not null unique, email text unique, attributes text not null,
    properties text not null, consent text not null, consent_at text, double_optin integer, suppressions text not null,
    list_suppressions text not null, created text not null, updated text not null);
create index if not exists profiles_by_updated on profiles (updated, id);
create table if not exists lists (
    seq integer primary key autoincrement, id text not null unique, name text not null, opt_in_process text not null,
    created text not null, updated text not null);
create table if not exists list_profiles (
    list_id text not null, profile_id text not null, primary key (list_id, profile_id));
create index if not exists lists_by_profile on list_profiles (profile_id, list_id);
create table if not exists jobs (
    seq integer primary key autoincrement, id text not null unique, kind text not null, status text not null,
    polls_left integer not null, body text not null, total integer not null, errors text not null,
    done text not null, created text not null, completed text);
create trigger if not exists profiles_changed after update of consent, suppressions on profiles
    when new.consent <> old.consent or new.suppressions <> old.suppressions
begin insert into status_history (person, at, status, detail)
    values (new.id, new.updated, new.consent,
        (select coalesce(group_concat(json_extract(value, '$.reason'), ', '), '')
         from json_each(new.suppressions))); end;
create trigger if not exists profiles_dropped after delete on profiles
begin delete from status_history where person = old.id; end;
"""


_LATEST = "(select coalesce(max(json_extract(value, '$.timestamp')), '') from json_each({}))"
SUPPRESSED_AT = "subscriptions.email.marketing.suppression.timestamp"
LEFT_AT = "subscriptions.email.marketing.list_suppressions.timestamp"
ORDERS = {
    "id": "id",
    "email": "coalesce(email, '')",
    "created": "created",
    "updated": "updated",
    SUPPRESSED_AT: _LATEST.format("suppressions"),
    LEFT_AT: _LATEST.format("list_suppressions"),
}
"""What profiles are sorted by, and how it is found."""


def now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


@dataclass
class Profile:
    """One profile; `suppressions` and `list_suppressions` as the specification shows them."""

    email: str | None
    id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    """first_name, …, and `location`: the vendor's own."""
    properties: dict[str, Any] = field(default_factory=dict)
    consent: str = "NEVER_SUBSCRIBED"
    consent_at: str | None = None
    double_optin: bool | None = None
    suppressions: list[dict[str, str]] = field(default_factory=list)
    list_suppressions: list[dict[str, str]] = field(default_factory=list)
    created: str = ""
    updated: str = ""


def _profile(row: sqlite3.Row) -> Profile:
    return Profile(
        email=row["email"],
        id=row["id"],
        attributes=json.loads(row["attributes"]),
        properties=json.loads(row["properties"]),
        consent=row["consent"],
        consent_at=row["consent_at"],
        double_optin=None if row["double_optin"] is None else bool(row["double_optin"]),
        suppressions=json.loads(row["suppressions"]),
        list_suppressions=json.loads(row["list_suppressions"]),
        created=row["created"],
        updated=row["updated"],
    )


@dataclass
class Job:
    """An import, or a change of subscriptions, that the vendor has accepted."""

    id: str
    kind: str
    status: str
    polls_left: int
    body: dict[str, Any]
    total: int
    errors: list[dict[str, Any]]
    done: list[str]
    """Ids of the profiles that it made or changed."""
    created: str
    completed: str | None


def _job(row: sqlite3.Row) -> Job:
    return Job(
        row["id"], row["kind"], row["status"], row["polls_left"], json.loads(row["body"]), row["total"],
        json.loads(row["errors"]), json.loads(row["done"]), row["created"], row["completed"],
    )  # fmt: skip


class Store(FileStore):
    """Every method is one short transaction, so that a killed twin comes back as it was."""

    def __init__(self, path: Path | str, list_id: str = DEFAULT_LIST, *, double_opt_in: bool = False) -> None:
        super().__init__(path, _TABLES)
        self.mail = Mail(self._con, self._lock)
        self.events = EventLog(self._con, self._lock)
        if self.list_row(list_id) is None:
            self.add_list("Simulated newsletter", "double_opt_in" if double_opt_in else "single_opt_in", list_id)

    def empty(self) -> None:
        """As it was when it was new, but for the list that people subscribe to."""
        for table in ("profiles", "list_profiles", "jobs", "counters", "events"):
            self._run(f"delete from {table}")
        self._run("delete from lists where seq > 1")

    # profiles

    def profile(self, email: str) -> Profile | None:
        rows = self._rows("select * from profiles where email = ?", email.lower())
        return _profile(rows[0]) if rows else None

    def profile_by_id(self, profile_id: str) -> Profile | None:
        rows = self._rows("select * from profiles where id = ?", profile_id)
        return _profile(rows[0]) if rows else None

    def profiles(self) -> list[Profile]:
        return [_profile(row) for row in self._rows("select * from profiles order by seq")]

    def profiles_after(
        self, order: str, after: tuple[str, str], n: int, only: tuple[str, str, str | list[str]] | None = None
    ) -> list[tuple[tuple[str, str], Profile]]:
        """At most `n` profiles in an order of `ORDERS`, each with its key, from behind a key on; `only`: what of
        `ORDERS`, how (>, >= or <; in, for a list) and with what it has to compare."""
        key, wanted, values = ORDERS[order], "true", []
        if only is not None:
            name, comparison, value = only
            is_list = isinstance(value, list)
            named = "email" if name == "email" else ORDERS[name]  # as its index has it
            wanted = f"{named} {comparison} {'(select value from json_each(?))' if is_list else '?'}"
            values = [json.dumps(value) if is_list else value]
        rows = self._rows(
            f"""select *, {key} as key from profiles
                where {wanted} and ({key}, id) > (?, ?) order by {key}, id limit ?""",
            *values, *after, n,
        )  # fmt: skip
        return [((row["key"], row["id"]), _profile(row)) for row in rows]

    def put_profile(self, profile: Profile) -> Profile:
        stamp = now_text()
        profile.email = profile.email.lower() if profile.email else None  # [unv] addresses are kept in lower case
        if not profile.id:
            n = self._rows("select coalesce(max(seq), 0) as n from sqlite_sequence where name = 'profiles'")[0]["n"]
            digest = hashlib.md5(f"{n}/{profile.email}".encode(), usedforsecurity=False).hexdigest()
            profile.id = "01" + digest[:24].upper()
        profile.created = profile.created or stamp
        profile.updated = stamp
        self._run(
            """insert into profiles (id, email, attributes, properties, consent, consent_at, double_optin,
                   suppressions, list_suppressions, created, updated) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               on conflict (id) do update set email = excluded.email, attributes = excluded.attributes,
                   properties = excluded.properties, consent = excluded.consent, consent_at = excluded.consent_at,
                   double_optin = excluded.double_optin, suppressions = excluded.suppressions,
                   list_suppressions = excluded.list_suppressions, updated = excluded.updated""",
            profile.id, profile.email, json.dumps(profile.attributes, ensure_ascii=False),
            json.dumps(profile.properties, ensure_ascii=False), profile.consent, profile.consent_at,
            profile.double_optin, json.dumps(profile.suppressions), json.dumps(profile.list_suppressions),
            profile.created, profile.updated,
        )  # fmt: skip
        return profile

    def drop_profile(self, email: str) -> None:
        found = self.profile(email)
        if found is not None:
            self._run("delete from profiles where id = ?", found.id)
            self._run("delete from list_profiles where profile_id = ?", found.id)

    # lists

    def list_row(self, list_id: str) -> dict[str, Any] | None:
        rows = self._rows("select * from lists where id = ?", list_id)
        return dict(rows[0]) if rows else None

    def lists(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows("select * from lists order by seq")]

    def list_named(self, name: str) -> str | None:
        rows = self._rows("select id from lists where name = ? order by seq limit 1", name)
        return rows[0]["id"] if rows else None

    def add_list(self, name: str, opt_in_process: str, list_id: str = "") -> str:
        stamp = now_text()
        with self._lock:
            n = self._rows("select coalesce(max(seq), 0) + 1 as n from lists")[0]["n"]
            list_id = list_id or f"L{n:05d}"
            self._run(
                "insert into lists (id, name, opt_in_process, created, updated) values (?, ?, ?, ?, ?)",
                list_id, name, opt_in_process, stamp, stamp,
            )  # fmt: skip
        return list_id

    def drop_list(self, list_id: str) -> None:
        self._run("delete from list_profiles where list_id = ?", list_id)
        self._run("delete from lists where id = ?", list_id)

    def put_in_list(self, list_id: str, profile_id: str) -> None:
        self._run("insert or ignore into list_profiles values (?, ?)", list_id, profile_id)

    def take_out_of_list(self, list_id: str, profile_id: str) -> bool:
        """Whether she was in it."""
        return self._run("delete from list_profiles where list_id = ? and profile_id = ?", list_id, profile_id) == 1

    def inside(self, list_id: str) -> set[str]:
        """Addresses of a list's profiles."""
        rows = self._rows(
            "select p.email from list_profiles l join profiles p on p.id = l.profile_id where l.list_id = ?", list_id
        )
        return {row["email"] for row in rows}

    # jobs

    def add_job(self, kind: str, body: dict[str, Any], total: int, polls: int) -> Job:
        with self._lock:
            n = self._rows("select coalesce(max(seq), 0) + 1 as n from jobs")[0]["n"]
            job_id = f"{kind[:3].upper()}{n:08d}"
            self._run(
                """insert into jobs (id, kind, status, polls_left, body, total, errors, done, created)
                   values (?, ?, 'queued', ?, ?, ?, '[]', '[]', ?)""",
                job_id, kind, polls, json.dumps(body, ensure_ascii=False), total, now_text(),
            )  # fmt: skip
        return Job(job_id, kind, "queued", polls, body, total, [], [], now_text(), None)

    def job(self, job_id: str) -> Job | None:
        rows = self._rows("select * from jobs where id = ? and kind = 'import'", job_id)
        return _job(rows[0]) if rows else None

    def import_jobs(self) -> list[Job]:
        return [_job(row) for row in self._rows("select * from jobs where kind = 'import' order by seq")]

    def open_jobs(self) -> list[Job]:
        rows = self._rows("select * from jobs where status in ('queued', 'processing') order by seq")
        return [_job(row) for row in rows]

    def put_job(self, job: Job) -> None:
        self._run(
            "update jobs set status = ?, polls_left = ?, errors = ?, done = ?, completed = ? where id = ?",
            job.status, job.polls_left, json.dumps(job.errors, ensure_ascii=False), json.dumps(job.done),
            job.completed, job.id,
        )  # fmt: skip

    def forget_jobs(self, ids: Iterable[str] = ()) -> None:
        """As if they had expired; all of them, unless named."""
        named = list(ids) or [row["id"] for row in self._rows("select id from jobs")]
        for one in named:
            self._run("delete from jobs where id = ?", one)
