"""What the HubSpot twin holds: contacts, properties, manual lists, subscriptions by address, in one SQLite file.

Which records are accepted, and what a request may do to a subscription, lives in `hubspot_rules`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.twins.event_log import EventLog
from sandbox.twins.mail import Mail
from sandbox.twins.store import FileStore

DEFAULT_SUBSCRIPTION = 4711
OTHER_SUBSCRIPTION = 4712
FIRST_ID = 290201  # [rec] ids are numbers of some digits

_TABLES = """
create table if not exists contacts (
    id integer primary key, email text unique, properties text not null, created_at text not null,
    updated_at text not null);
create table if not exists searchable (id integer primary key, properties text not null);
create table if not exists unindexed (id integer primary key, due integer not null);
create table if not exists properties (name text primary key, definition text not null);
create table if not exists groups (name text primary key, label text not null);
create table if not exists lists (id integer primary key autoincrement, name text not null unique, created_at text);
create table if not exists list_members (list_id integer, id integer, primary key (list_id, id));
create table if not exists statuses (
    email text, subscription_id integer, status text not null, at text not null, source text not null,
    primary key (email, subscription_id));
create table if not exists opted_out (email text primary key, at text not null);
create trigger if not exists statuses_set after insert on statuses
begin insert into status_history (person, at, status, detail)
    values (new.email, new.at, new.status, new.subscription_id || ' ' || new.source); end;
create trigger if not exists opted_out_of_all after insert on opted_out
begin insert into status_history (person, at, status) values (new.email, new.at, 'OPTED_OUT_OF_ALL'); end;
"""
_STANDARD = {
    "email": ("string", "text"),
    "firstname": ("string", "text"),
    "lastname": ("string", "text"),
    "city": ("string", "text"),
    "phone": ("string", "phonenumber"),
    "lifecyclestage": ("enumeration", "radio"),
}
_VENDORS_OWN = {
    "createdate": ("datetime", "date"),
    "lastmodifieddate": ("datetime", "date"),
    "hs_object_id": ("number", "number"),
    "hs_email_optout": ("bool", "booleancheckbox"),
    "hs_email_hard_bounce_reason_enum": ("enumeration", "select"),
}


@dataclass
class Contact:
    """`properties` without the vendor's own times and id."""

    email: str | None
    properties: dict[str, str] = field(default_factory=dict)
    id: int = 0
    created_at: str = ""
    updated_at: str = ""


class Store(FileStore):
    """Every method is one short transaction, so that a killed twin comes back as it was."""

    def __init__(
        self,
        path: Path | str,
        *,
        search_lag: int = 0,
        consent_touches: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`search_lag`: after how many further requests a search shows a change; `consent_touches`: whether a change of
        a subscription changes `lastmodifieddate` ([unv] at the vendor)."""
        self.search_lag, self.consent_touches = search_lag, consent_touches
        self.shows_wide_opt_out = True
        """Whether who opted out of everything is shown as unsubscribed from each type, and refused when somebody
        subscribes her ([unv] at the vendor: False is the worst reading)."""
        self._searchable: list[dict[str, str | None]] | None = None
        super().__init__(path, _TABLES, clock=clock)
        self.mail = Mail(self._con, self._lock)
        self.events = EventLog(self._con, self._lock)
        for name, (kind, shown_as) in (_STANDARD | _VENDORS_OWN).items():
            self.add_property(
                {"name": name, "label": name, "type": kind, "fieldType": shown_as, "groupName": "contactinformation"},
                is_vendors=name in _VENDORS_OWN,
            )

    def now(self) -> str:
        """Milliseconds and a Z [rec]."""
        stamp = datetime.fromtimestamp(self.clock(), UTC)
        return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"

    def reset(self) -> None:
        """Nobody, no list and no word of anybody; properties stay."""
        with self._lock:
            people = ("contacts", "searchable", "unindexed", "lists", "list_members")
            for table in (*people, "statuses", "opted_out", "status_history", "events"):
                self._con.execute(f"delete from {table}")
            self._searchable = None

    # contacts

    @staticmethod
    def _contact(row: sqlite3.Row) -> Contact:
        return Contact(row["email"], json.loads(row["properties"]), row["id"], row["created_at"], row["updated_at"])

    def contact(self, email: str) -> Contact | None:
        rows = self._rows("select * from contacts where email = ?", email.lower())
        return self._contact(rows[0]) if rows else None

    def contacts(self, after: int = 0, limit: int = -1) -> list[Contact]:
        """In the order of their ids."""
        rows = self._rows("select * from contacts where id > ? order by id limit ?", after, limit)
        return [self._contact(row) for row in rows]

    def put_contact(self, contact: Contact) -> Contact:
        """Addresses are kept in lower case [unv]."""
        with self._lock:
            stamp = self.now()
            if not contact.id:
                contact.id = self._rows(f"select coalesce(max(id), {FIRST_ID}) + 50 as n from contacts")[0]["n"]
                contact.created_at = stamp
            contact.email = contact.email.lower() if contact.email else None
            contact.updated_at = stamp
            self._rows(
                """insert into contacts values (?, ?, ?, ?, ?) on conflict (id) do update set
                       email = excluded.email, properties = excluded.properties, updated_at = excluded.updated_at""",
                contact.id, contact.email, json.dumps(contact.properties), contact.created_at, stamp,
            )  # fmt: skip
            self._to_index(contact.id)
        return contact

    def delete_contact(self, email: str) -> None:
        """What her address said stays (vendor's page: a status belongs to the address)."""
        found = self.contact(email)
        if found is not None:
            self._rows("delete from contacts where id = ?", found.id)
            self._rows("delete from list_members where id = ?", found.id)
            self._to_index(found.id)

    def shown(self, contact: Contact) -> dict[str, str | None]:
        """All her properties, the vendor's own ones included."""
        own: dict[str, str | None] = {
            "email": contact.email,
            "createdate": contact.created_at,
            "lastmodifieddate": contact.updated_at,
            "hs_object_id": str(contact.id),
        }
        if contact.email and self.opted_out_at(contact.email):
            own["hs_email_optout"] = "true"
        return {**contact.properties, **own}

    # the index of the search, which lags

    def _to_index(self, contact_id: int) -> None:
        due = self.counters().get("requests", 0) + self.search_lag
        self._rows("insert or replace into unindexed values (?, ?)", contact_id, due)

    def searchable(self) -> list[dict[str, str | None]]:
        """The properties of everybody, by id, as the search knows them by now; the same list until that changes."""
        with self._lock:
            now = self.counters().get("requests", 0)
            due = self._rows("select id from unindexed where due <= ?", now)
            if due or self._searchable is None:
                for row in due:
                    found = self._rows("select * from contacts where id = ?", row["id"])
                    if found:
                        shown = json.dumps(self.shown(self._contact(found[0])))
                        self._rows("insert or replace into searchable values (?, ?)", row["id"], shown)
                    else:
                        self._rows("delete from searchable where id = ?", row["id"])
                self._rows("delete from unindexed where due <= ?", now)
                rows = self._rows("select properties from searchable order by id")
                self._searchable = [json.loads(row["properties"]) for row in rows]
            return self._searchable

    # properties

    def properties(self) -> dict[str, dict[str, Any]]:
        rows = self._rows("select * from properties order by name")
        return {row["name"]: json.loads(row["definition"]) for row in rows}

    def add_property(self, given: dict[str, Any], *, is_vendors: bool = False) -> dict[str, Any]:
        definition = {
            "description": "",
            "options": [],
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": False,
            "hasUniqueValue": given["name"] == "email",
            "hidden": False,
            "formField": not is_vendors,
            "archived": False,
            "modificationMetadata": {
                "archivable": not is_vendors,
                "readOnlyDefinition": is_vendors,
                "readOnlyValue": is_vendors,
            },
            **given,
        }  # [rec] shape, of the properties of an object's schema
        self._rows("insert or ignore into properties values (?, ?)", given["name"], json.dumps(definition))
        return definition

    def drop_property(self, name: str) -> None:
        self._rows("delete from properties where name = ?", name)

    def groups(self) -> dict[str, str]:
        own = {"contactinformation": "Contact information"}
        return own | {row["name"]: row["label"] for row in self._rows("select * from groups order by name")}

    def add_group(self, name: str, label: str) -> None:
        self._rows("insert into groups values (?, ?)", name, label)

    # lists

    def lists(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows("select * from lists order by id")]

    def add_list(self, name: str) -> int:
        with self._lock:
            made = self._con.execute("insert into lists (name, created_at) values (?, ?)", (name, self.now()))
            return int(made.lastrowid or 0)

    def drop_list(self, list_id: int) -> None:
        self._rows("delete from lists where id = ?", list_id)
        self._rows("delete from list_members where list_id = ?", list_id)

    def in_list(self, list_id: int) -> set[int]:
        return {row["id"] for row in self._rows("select id from list_members where list_id = ?", list_id)}

    def set_in_list(self, list_id: int, contact_id: int, inside: bool) -> None:
        if inside:
            self._rows("insert or ignore into list_members values (?, ?)", list_id, contact_id)
        else:
            self._rows("delete from list_members where list_id = ? and id = ?", list_id, contact_id)

    def known_ids(self, ids: Iterable[str]) -> set[str]:
        wanted = json.dumps([int(one) for one in ids if one.isdigit()])
        rows = self._rows("select id from contacts where id in (select value from json_each(?))", wanted)
        return {str(row["id"]) for row in rows}

    # subscriptions

    def status(self, email: str, subscription_id: int = DEFAULT_SUBSCRIPTION) -> tuple[str, str | None, str]:
        """(status, since when, who says so) as the vendor shows it."""
        wide = self.opted_out_at(email) if self.shows_wide_opt_out else None
        if wide is not None:
            return "UNSUBSCRIBED", wide, "Opted out of all"
        rows = self._rows(
            "select * from statuses where email = ? and subscription_id = ?", email.lower(), subscription_id
        )
        return (rows[0]["status"], rows[0]["at"], rows[0]["source"]) if rows else ("NOT_SPECIFIED", None, "")

    def set_status(self, email: str, status: str, subscription_id: int, source: str) -> None:
        self._rows(
            "insert or replace into statuses values (?, ?, ?, ?, ?)",
            email.lower(), subscription_id, status, self.now(), source,
        )  # fmt: skip
        self._touch(email)

    def opt_out(self, email: str) -> None:
        """Of everything."""
        self._rows("insert or ignore into opted_out values (?, ?)", email.lower(), self.now())
        self._touch(email)

    def opted_out_at(self, email: str) -> str | None:
        rows = self._rows("select at from opted_out where email = ?", email.lower())
        return rows[0]["at"] if rows else None

    def _touch(self, email: str) -> None:
        found = self.contact(email)
        if found is not None and self.consent_touches:
            self.put_contact(found)
