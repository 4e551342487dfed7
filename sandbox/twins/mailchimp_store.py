"""What the Mailchimp twin holds: lists, members, merge fields, static segments, in one SQLite file.

Rules about single records (what is accepted, what a status change may do) live in `mailchimp_rules`.
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

DEFAULT_LIST = "mwdemolist"

_TABLES = """
create table if not exists lists (list_id text primary key, name text not null);
create table if not exists members (
    seq integer primary key autoincrement, list_id text not null, id text not null, email_address text not null,
    status text not null, unsubscribed_by text, merge_fields text not null, email_type text not null default 'html',
    vip integer not null default 0, language text not null default '', timestamp_opt text not null,
    last_changed text not null, unique (list_id, id));
create index if not exists members_by_change on members (list_id, last_changed, seq);
create table if not exists forgotten (list_id text not null, id text not null, primary key (list_id, id));
create table if not exists merge_fields (
    list_id text not null, merge_id integer not null, tag text not null, name text not null, type text not null,
    required integer not null, default_value text not null, public integer not null, display_order integer not null,
    options text not null, help_text text not null, primary key (list_id, merge_id), unique (list_id, tag));
create table if not exists segments (
    id integer primary key autoincrement, list_id text not null, name text not null, created_at text not null,
    updated_at text not null, unique (list_id, name));
create table if not exists segment_members (
    segment_id integer not null, id text not null, created_at text not null, primary key (segment_id, id));
create index if not exists segment_members_by_id on segment_members (id);
create index if not exists members_by_status on members (status, seq);
create trigger if not exists members_changed after update of status on members when new.status <> old.status
begin insert into status_history (person, at, status, detail)
    values (new.list_id || '-' || new.id, new.last_changed, new.status, coalesce(new.unsubscribed_by, '')); end;
create trigger if not exists members_forgotten after delete on members
begin delete from status_history where person = old.list_id || '-' || old.id; end;
"""


def subscriber_hash(email: str) -> str:
    """The MD5 hash of the lower-case version of the address: the vendor's member id [spec]."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def now_text() -> str:
    """The vendor's clock has whole seconds [rec]."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


@dataclass
class Member:
    """One list member; `status` 'archived' is a state of its own, as in the vendor's `status` filter [spec]."""

    email_address: str
    status: str
    merge_fields: dict[str, Any] = field(default_factory=dict)
    unsubscribed_by: str | None = None
    email_type: str = "html"
    vip: bool = False
    language: str = ""
    timestamp_opt: str = ""
    last_changed: str = ""

    @property
    def id(self) -> str:
        return subscriber_hash(self.email_address)


def _member(row: sqlite3.Row) -> Member:
    return Member(
        email_address=row["email_address"],
        status=row["status"],
        merge_fields=json.loads(row["merge_fields"]),
        unsubscribed_by=row["unsubscribed_by"],
        email_type=row["email_type"],
        vip=bool(row["vip"]),
        language=row["language"],
        timestamp_opt=row["timestamp_opt"],
        last_changed=row["last_changed"],
    )


class Store(FileStore):
    """Every method is one short transaction, so that a killed twin comes back as it was."""

    def __init__(self, path: Path | str, list_id: str = DEFAULT_LIST) -> None:
        super().__init__(path, _TABLES)
        self.mail = Mail(self._con, self._lock)
        self.events = EventLog(self._con, self._lock)
        self.add_list(list_id)

    # lists

    def add_list(self, list_id: str) -> None:
        """A new audience has the four default fields (vendor's page "Merge Fields")."""
        with self._lock:
            made = self._con.execute("insert or ignore into lists values (?, 'Simulated audience')", (list_id,))
            if made.rowcount == 1:
                defaults = [
                    ("FNAME", "First Name", "text"),
                    ("LNAME", "Last Name", "text"),
                    ("ADDRESS", "Address", "address"),
                    ("PHONE", "Phone Number", "phone"),
                ]
                for tag, name, kind in defaults:
                    self.add_merge_field(list_id, tag=tag, name=name, type=kind)

    def has_list(self, list_id: str) -> bool:
        return bool(self._rows("select 1 from lists where list_id = ?", list_id))

    def reset_counters(self) -> None:
        with self._lock:
            self._con.execute("delete from counters")

    # merge fields

    def merge_fields(self, list_id: str) -> list[dict[str, Any]]:
        rows = self._rows("select * from merge_fields where list_id = ? order by display_order, merge_id", list_id)
        return [
            {
                **{k: row[k] for k in ("merge_id", "tag", "name", "type")},
                "required": bool(row["required"]),
                "default_value": row["default_value"],
                "public": bool(row["public"]),
                "display_order": row["display_order"],
                "options": json.loads(row["options"]),
                "help_text": row["help_text"],
                "list_id": list_id,
            }
            for row in rows
        ]

    def add_merge_field(
        self,
        list_id: str,
        *,
        tag: str,
        name: str,
        type: str,
        required: bool = False,
        default_value: str = "",
        public: bool = False,
        options: dict[str, Any] | None = None,
        help_text: str = "",
    ) -> int:
        with self._lock:
            merge_id = self._rows(
                "select coalesce(max(merge_id), 0) + 1 as n from merge_fields where list_id = ?", list_id
            )[0]["n"]
            options = options or ({"size": 25} if type == "text" else {})
            self._con.execute(
                "insert into merge_fields values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (list_id, merge_id, tag, name, type, required, default_value, public, merge_id + 1,
                 json.dumps(options), help_text),
            )  # fmt: skip
            return merge_id

    def drop_merge_field(self, list_id: str, merge_id: int) -> bool:
        with self._lock:
            return (
                self._con.execute(
                    "delete from merge_fields where list_id = ? and merge_id = ?", (list_id, merge_id)
                ).rowcount
                == 1
            )

    # members

    def member(self, list_id: str, member_id: str) -> Member | None:
        rows = self._rows("select * from members where list_id = ? and id = ?", list_id, member_id)
        return _member(rows[0]) if rows else None

    def put_member(self, list_id: str, member: Member) -> Member:
        stamp = now_text()
        member.last_changed = stamp
        member.timestamp_opt = member.timestamp_opt or stamp
        with self._lock:
            self._con.execute(
                """insert into members (list_id, id, email_address, status, unsubscribed_by, merge_fields, email_type,
                       vip, language, timestamp_opt, last_changed) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   on conflict (list_id, id) do update set email_address = excluded.email_address,
                       status = excluded.status, unsubscribed_by = excluded.unsubscribed_by,
                       merge_fields = excluded.merge_fields, email_type = excluded.email_type, vip = excluded.vip,
                       language = excluded.language, last_changed = excluded.last_changed""",
                (list_id, member.id, member.email_address, member.status, member.unsubscribed_by,
                 json.dumps(member.merge_fields, ensure_ascii=False), member.email_type, member.vip, member.language,
                 member.timestamp_opt, stamp),
            )  # fmt: skip
        return member

    def forget(self, list_id: str, member_id: str) -> None:
        """Permanent deletion: the address cannot be imported again [spec]."""
        with self._lock:
            self._con.execute("delete from members where list_id = ? and id = ?", (list_id, member_id))
            self._con.execute("delete from segment_members where id = ?", (member_id,))
            self._con.execute("insert or ignore into forgotten values (?, ?)", (list_id, member_id))
            self.events.forget(member_id)

    def is_forgotten(self, list_id: str, member_id: str) -> bool:
        return bool(self._rows("select 1 from forgotten where list_id = ? and id = ?", list_id, member_id))

    def members(
        self,
        list_id: str,
        *,
        status: str | None = None,
        since_last_changed: str | None = None,
        sort: str = "seq",
        descending: bool = False,
        offset: int = 0,
        count: int = -1,
        segment_id: int | None = None,
        include: Iterable[str] = (),
    ) -> tuple[list[Member], int]:
        """A page and the total. Without `status`, archived members are left out [unv]."""
        where, values = ["list_id = ?"], [list_id]
        if status:
            where.append("status = ?")
            values.append(status)
        elif segment_id is not None:
            shown = ["subscribed", "pending", *include]
            where.append(f"status in ({', '.join('?' for _ in shown)})")
            values += shown
        else:
            where.append("status <> 'archived'")
        if segment_id is not None:
            where.append("id in (select id from segment_members where segment_id = ?)")
            values.append(segment_id)  # pyright: ignore[reportArgumentType]
        if since_last_changed:
            where.append("last_changed > ?")
            values.append(since_last_changed)
        clause = " and ".join(where)
        total = self._rows(f"select count(*) as n from members where {clause}", *values)[0]["n"]
        order = f"{sort} {'desc' if descending else 'asc'}, seq"
        rows = self._rows(
            f"select * from members where {clause} order by {order} limit ? offset ?", *values, count, offset
        )
        return [_member(row) for row in rows], total

    def tags_of(self, list_id: str, member_id: str) -> list[dict[str, Any]]:
        """Static segments are tags [spec]."""
        rows = self._rows(
            """select s.id, s.name, m.created_at from segment_members m join segments s on s.id = m.segment_id
               where s.list_id = ? and m.id = ? order by s.id""",
            list_id, member_id,
        )  # fmt: skip
        return [{"id": row["id"], "name": row["name"], "date_added": row["created_at"]} for row in rows]

    # static segments

    def segments(self, list_id: str) -> list[dict[str, Any]]:
        rows = self._rows("select * from segments where list_id = ? order by id", list_id)
        return [self._segment(row) for row in rows]

    def _segment(self, row: sqlite3.Row) -> dict[str, Any]:
        n = self._rows(
            """select count(*) as n from segment_members s join members m on m.id = s.id and m.list_id = ?
               where s.segment_id = ? and m.status = 'subscribed'""",
            row["list_id"], row["id"],
        )[0]["n"]  # fmt: skip
        return {
            "id": row["id"],
            "name": row["name"],
            "member_count": n,
            "type": "static",
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
            "list_id": row["list_id"],
        }

    def segment(self, list_id: str, segment_id: int) -> dict[str, Any] | None:
        rows = self._rows("select * from segments where list_id = ? and id = ?", list_id, segment_id)
        return self._segment(rows[0]) if rows else None

    def segment_named(self, list_id: str, name: str) -> int | None:
        rows = self._rows("select id from segments where list_id = ? and name = ?", list_id, name)
        return rows[0]["id"] if rows else None

    def add_segment(self, list_id: str, name: str) -> int:
        stamp = now_text()
        with self._lock:
            cursor = self._con.execute(
                "insert into segments (list_id, name, created_at, updated_at) values (?, ?, ?, ?)",
                (list_id, name, stamp, stamp),
            )
            return int(cursor.lastrowid or 0)

    def drop_segment(self, segment_id: int) -> None:
        with self._lock:
            self._con.execute("delete from segment_members where segment_id = ?", (segment_id,))
            self._con.execute("delete from segments where id = ?", (segment_id,))

    def set_in_segment(self, segment_id: int, member_id: str, inside: bool) -> bool:
        """Whether that changed anything."""
        with self._lock:
            if inside:
                done = self._con.execute(
                    "insert or ignore into segment_members values (?, ?, ?)", (segment_id, member_id, now_text())
                )
            else:
                done = self._con.execute(
                    "delete from segment_members where segment_id = ? and id = ?", (segment_id, member_id)
                )
            return done.rowcount == 1

    def segment_ids(self, segment_id: int) -> set[str]:
        """Member ids of a segment, whatever their status."""
        return {row["id"] for row in self._rows("select id from segment_members where segment_id = ?", segment_id)}

    def drop_tags_of(self, list_id: str, member_id: str) -> None:
        with self._lock:
            self._con.execute(
                """delete from segment_members
                   where id = ? and segment_id in (select id from segments where list_id = ?)""",
                (member_id, list_id),
            )
