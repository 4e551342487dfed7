"""What the SendGrid twin holds: contacts, lists, fields, jobs, exports, suppressions, in one SQLite file.

Which requests are accepted, and what a job does to a contact, is in `sendgrid_rules`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.twins.mail import Mail
from sandbox.twins.store import FileStore

_TABLES = """
create table if not exists contacts (
    id text primary key, email text unique, fields text not null, custom text not null, identifiers text not null,
    created_at text not null, updated_at text not null);
create table if not exists lists (seq integer primary key autoincrement, id text unique not null, name text not null);
create table if not exists list_contacts (list_id text not null, contact_id text not null,
    primary key (list_id, contact_id));
create index if not exists lists_by_contact on list_contacts (contact_id, list_id);
create table if not exists fields (seq integer primary key autoincrement, id text, name text not null,
    field_type text not null);
create table if not exists jobs (
    seq integer primary key autoincrement, id text unique not null, kind text not null, payload text not null,
    looks_left integer not null, is_asked_for integer not null default 0, trouble text, status text not null,
    results text not null, started_at text not null, finished_at text);
create table if not exists exports (id text primary key, file_type text not null, looks_left integer not null,
    created_at text not null, files text);
create table if not exists files (token text primary key, content blob not null);
create table if not exists suppressions (
    kind text not null, email text not null, created integer not null, reason text not null,
    primary key (kind, email));
create trigger if not exists suppressions_added after insert on suppressions
begin insert into status_history (person, at, status, detail)
    values (new.email, strftime('%Y-%m-%dT%H:%M:%SZ', new.created, 'unixepoch'), new.kind, new.reason); end;
create trigger if not exists suppressions_lifted after delete on suppressions
begin insert into status_history (person, at, status)
    values (old.email, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), old.kind || ' lifted'); end;
"""


@dataclass
class Contact:
    """A contact; `custom` by id of the field."""

    email: str | None
    fields: dict[str, str] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)
    identifiers: dict[str, str] = field(default_factory=dict)
    """Other identifiers than the address: phone_number_id, external_id, anonymous_id."""
    id: str = ""
    created_at: str = ""
    updated_at: str = ""


@dataclass
class Job:
    """An accepted request that takes effect when it ends."""

    seq: int
    id: str
    kind: str
    payload: dict[str, Any]
    looks_left: int
    trouble: str | None
    status: str
    results: dict[str, Any]
    started_at: str
    finished_at: str | None


def _contact(row: sqlite3.Row) -> Contact:
    loaded = {name: json.loads(row[name]) for name in ("fields", "custom", "identifiers")}
    plain = {name: row[name] for name in ("email", "id", "created_at", "updated_at")}
    return Contact(**plain, **loaded)


class Store(FileStore):
    """Every method is one short transaction, so that a killed twin comes back as it was."""

    def __init__(
        self, path: Path | str, *, job_looks: int = 1, export_looks: int = 1, clock: Callable[[], float] = time.time
    ) -> None:
        self.job_looks, self.export_looks = job_looks, export_looks
        """How often a job, an export, is looked at before it has ended."""
        self.contacts_per_file = 10_000
        super().__init__(path, _TABLES, clock=clock)
        self.mail = Mail(self._con, self._lock)
        self.mail.effect = self._suppress_for

    def now(self) -> str:
        """The vendor's clock has whole seconds [rec]."""
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # contacts

    def contact(self, email: str) -> Contact | None:
        rows = self._rows("select * from contacts where email = ?", email.lower())
        return _contact(rows[0]) if rows else None

    def contact_by_id(self, contact_id: str) -> Contact | None:
        rows = self._rows("select * from contacts where id = ?", contact_id)
        return _contact(rows[0]) if rows else None

    def contacts(self) -> list[Contact]:
        return [_contact(row) for row in self._rows("select * from contacts order by created_at, id")]

    def count_contacts(self) -> int:
        return self._rows("select count(*) as n from contacts")[0]["n"]

    def has_contacts(self, ids: Iterable[str]) -> bool:
        wanted = sorted(set(ids))
        marks = ", ".join("?" for _ in wanted)
        return self._rows(f"select count(*) as n from contacts where id in ({marks})", *wanted)[0]["n"] == len(wanted)

    def put_contact(self, contact: Contact) -> Contact:
        stamp = self.now()
        contact.id = contact.id or str(uuid.uuid4())
        contact.created_at, contact.updated_at = contact.created_at or stamp, stamp
        self._rows(
            "insert or replace into contacts values (?, ?, ?, ?, ?, ?, ?)",
            contact.id, contact.email and contact.email.lower(), json.dumps(contact.fields, ensure_ascii=False),
            json.dumps(contact.custom, ensure_ascii=False), json.dumps(contact.identifiers), contact.created_at, stamp,
        )  # fmt: skip
        return contact

    def drop_contact(self, contact_id: str) -> None:
        self._rows("delete from list_contacts where contact_id = ?", contact_id)
        self._rows("delete from contacts where id = ?", contact_id)

    # lists

    def lists(self) -> list[dict[str, Any]]:
        rows = self._rows(
            """select l.id, l.name, count(c.contact_id) as n from lists l left join list_contacts c on c.list_id = l.id
               group by l.seq, l.id, l.name order by l.seq"""
        )
        return [{"id": row["id"], "name": row["name"], "contact_count": row["n"]} for row in rows]

    def has_list(self, list_id: str) -> bool:
        return bool(self._rows("select 1 from lists where id = ?", list_id))

    def add_list(self, name: str) -> str:
        list_id = str(uuid.uuid4())
        self._rows("insert into lists (id, name) values (?, ?)", list_id, name)
        return list_id

    def drop_list(self, list_id: str) -> None:
        self._rows("delete from list_contacts where list_id = ?", list_id)
        self._rows("delete from lists where id = ?", list_id)

    def set_in_list(self, list_id: str, contact_id: str, inside: bool) -> None:
        if inside:
            self._rows("insert or ignore into list_contacts values (?, ?)", list_id, contact_id)
        else:
            self._rows("delete from list_contacts where list_id = ? and contact_id = ?", list_id, contact_id)

    def lists_of(self, contact_id: str) -> list[str]:
        rows = self._rows("select list_id from list_contacts where contact_id = ? order by list_id", contact_id)
        return [row["list_id"] for row in rows]

    def addresses_in(self, list_name: str) -> set[str]:
        rows = self._rows(
            """select c.email from list_contacts m join contacts c on c.id = m.contact_id
               join lists l on l.id = m.list_id where l.name = ?""",
            list_name,
        )
        return {row["email"] for row in rows}

    # fields

    def fields(self) -> list[dict[str, str]]:
        rows = self._rows("select * from fields order by seq")
        return [{name: row[name] for name in ("id", "name", "field_type")} for row in rows]

    def add_field(self, name: str, field_type: str) -> dict[str, str]:
        with self._lock:
            cursor = self._con.execute("insert into fields (name, field_type) values (?, ?)", (name, field_type))
            field_id = f"e{cursor.lastrowid}_{field_type[0]}"  # [rec] e2_T, e3_N, e4_D
            self._con.execute("update fields set id = ? where seq = ?", (field_id, cursor.lastrowid))
        return {"id": field_id, "name": name, "field_type": field_type}

    def drop_field(self, name: str) -> None:
        self._rows("delete from fields where name = ?", name)

    # jobs, exports and files

    def add_job(self, kind: str, payload: dict[str, Any], trouble: str | None) -> str:
        job_id = str(uuid.uuid4())
        self._rows(
            """insert into jobs (id, kind, payload, looks_left, trouble, status, results, started_at)
               values (?, ?, ?, ?, ?, 'pending', '{}', ?)""",
            job_id, kind, json.dumps(payload, ensure_ascii=False), self.job_looks, trouble, self.now(),
        )  # fmt: skip
        return job_id

    def jobs(self, *, only_pending: bool = False) -> list[Job]:
        where = "where status = 'pending'" if only_pending else ""
        return [self._job(row) for row in self._rows(f"select * from jobs {where} order by seq")]

    def job(self, job_id: str) -> Job | None:
        rows = self._rows("select * from jobs where id = ?", job_id)
        return self._job(rows[0]) if rows else None

    @staticmethod
    def _job(row: sqlite3.Row) -> Job:
        loaded = {name: json.loads(row[name]) for name in ("payload", "results")}
        names = ("seq", "id", "kind", "looks_left", "trouble", "status", "started_at", "finished_at")
        return Job(**{name: row[name] for name in names}, **loaded)

    def looked_at(self, job: Job) -> None:
        self._rows("update jobs set is_asked_for = 1, looks_left = max(0, looks_left - 1) where seq = ?", job.seq)

    def unasked(self) -> list[int]:
        """Jobs under way that nobody has asked about: perhaps nobody knows of them."""
        return [row["seq"] for row in self._rows("select seq from jobs where status = 'pending' and not is_asked_for")]

    def end_job(self, job: Job, status: str, results: dict[str, Any]) -> None:
        self._rows(
            "update jobs set status = ?, results = ?, finished_at = ? where seq = ?",
            status, json.dumps(results), self.now(), job.seq,
        )  # fmt: skip

    def add_export(self, file_type: str) -> str:
        export_id = str(uuid.uuid4())
        self._rows("insert into exports values (?, ?, ?, ?, null)", export_id, file_type, self.export_looks, self.now())
        return export_id

    def export(self, export_id: str) -> dict[str, Any] | None:
        rows = self._rows("select * from exports where id = ?", export_id)
        return {**dict(rows[0]), "files": json.loads(rows[0]["files"] or "null")} if rows else None

    def looked_at_export(self, export_id: str) -> None:
        self._rows("update exports set looks_left = looks_left - 1 where id = ?", export_id)

    def end_export(self, export_id: str, tokens: list[str]) -> None:
        self._rows("update exports set files = ? where id = ?", json.dumps(tokens), export_id)

    def add_file(self, content: bytes) -> str:
        token = uuid.uuid4().hex
        self._rows("insert into files values (?, ?)", token, content)
        return token

    def file(self, token: str) -> bytes | None:
        rows = self._rows("select content from files where token = ?", token)
        return rows[0]["content"] if rows else None

    # suppressions

    def suppress(self, kind: str, email: str, reason: str = "", created: int | None = None) -> None:
        """`kind` is the list's name; `groups`: who left a group. Who is in it already keeps her date [unv]."""
        stamp = int(self.clock()) if created is None else created
        self._rows("insert or ignore into suppressions values (?, ?, ?, ?)", kind, email.lower(), stamp, reason)

    def _suppress_for(self, kind: str, email: str, at: datetime, detail: dict[str, Any]) -> None:
        """What the vendor keeps of an event of its mail: an entry in a list [vdoc]."""
        lists = {"unsubscribe": "unsubscribes", "complaint": "spam_reports", "bounce": "bounces"}
        if kind not in lists:
            return
        name = "blocks" if detail.get("type") == "soft" else "groups" if "group" in detail else lists[kind]
        seconds = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        self.suppress(name, email, "550 simulated", seconds)

    def mailable(self, list_name: str | None) -> list[str]:
        """Whom it would mail of a list, or of everybody."""
        inside = None if list_name is None else self.addresses_in(list_name)
        contacts = [contact.email for contact in self.contacts() if contact.email]
        return [one for one in contacts if (inside is None or one in inside) and not self.suppressed_as(one)]

    def lift(self, email: str) -> None:
        """What a person at the vendor's screens may do, and a sync never does."""
        self._rows("delete from suppressions where email = ?", email.lower())

    def suppressions(
        self, kind: str, start: int | None = None, end: int | None = None, offset: int = 0, limit: int = -1
    ) -> list[dict[str, Any]]:
        rows = self._rows(
            """select email, created, reason from suppressions
               where kind = ? and created >= ? and created <= ? order by created desc, email limit ? offset ?""",
            kind, start or 0, 2**62 if end is None else end, limit, offset,
        )  # fmt: skip
        return [dict(row) for row in rows]

    def suppressed_as(self, email: str) -> set[str]:
        """The lists that keep all mail from her: a block was for once, a group is a part of the mail."""
        rows = self._rows("select kind from suppressions where email = ?", email.lower())
        return {row["kind"] for row in rows} - {"blocks", "groups"}
