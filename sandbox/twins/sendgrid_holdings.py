"""What the SendGrid twin holds, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from sandbox.twins.holdings import Category, Count, Fact, FieldDefinition, FieldValue, Group, Holdings, Person, Standing

_KINDS = {
    "unsubscribes": "unsubscribed from everything",
    "spam_reports": "complained of spam",
    "bounces": "bounced",
    "invalid_emails": "invalid address",
}


class SendGridHoldings(Holdings):
    vendor = "SendGrid"
    people = "contacts"
    standings: ClassVar[Mapping[str, Standing]] = {
        "mailable": Standing(
            "may be mailed", "subscribed", "on no suppression list (the vendor knows no subscriptions)"
        ),
        "unsubscribed": Standing("unsubscribed", "unsubscribed", "unsubscribed or complained, gets nothing"),
        "bounced": Standing("bounced", "suppressed", "mail came back or the address is invalid, gets nothing"),
        "no_address": Standing("no address", "other", "known by another identifier"),
    }
    category_labels: ClassVar[Mapping[Category, str]] = {
        "subscribed": "may be mailed",
        "unsubscribed": "unsubscribed",
        "suppressed": "suppressed",
        "other": "without an address",
    }
    source = "contacts p"
    place, key, address, changed = "p.rowid", "p.id", "coalesce(p.email, '')", "p.updated_at"
    standing = """case when p.email is null then 'no_address'
        when p.email in (select email from suppressions where kind in ('unsubscribes', 'spam_reports'))
        then 'unsubscribed'
        when p.email in (select email from suppressions where kind in ('bounces', 'invalid_emails'))
        then 'bounced' else 'mailable' end"""
    inside = "p.id in (select contact_id from list_contacts where list_id = ?)"

    def groups(self) -> list[Group]:
        rows = sorted(self.store.lists(), key=lambda row: row["name"])
        return [Group(row["id"], row["name"], "list", row["contact_count"]) for row in rows]

    def fields(self) -> list[FieldDefinition]:
        return [FieldDefinition(row["name"], row["name"], row["field_type"]) for row in self.store.fields()]

    def person(self, key: str) -> Person | None:
        rows = self.store.read(f"select p.email, {self.standing} as standing from {self.source} where p.id = ?", key)
        if not rows:
            return None
        contact = self.store.contact_by_id(key)
        names = {row["id"]: row["name"] for row in self.store.fields()}
        lists = {row["id"]: row["name"] for row in self.store.lists()}
        custom = {names.get(one, one): value for one, value in contact.custom.items()}
        facts = [
            *(self.words_about(contact.email or "") or [Fact("suppression lists", "", "on none")]),
            Fact("created", contact.created_at),
            Fact("last changed", contact.updated_at),
        ]
        return Person(
            key,
            contact.email or "",
            rows[0]["standing"],
            facts,
            [FieldValue(n, n, v) for n, v in {**contact.identifiers, **contact.fields, **custom}.items()],
            sorted(lists[one] for one in self.store.lists_of(key) if one in lists),
            [Fact("contact made", contact.created_at), *self.changes(contact.email or "")],
        )

    def words_about(self, address: str) -> list[Fact]:
        rows = self.store.read("select * from suppressions where email = ? order by created", address.lower())
        return [Fact(_label(row["kind"]), _instant(row["created"]), row["reason"]) for row in rows]

    def beside_people(self) -> list[Count]:
        rows = self.store.read("select kind, count(*) as n from suppressions group by kind order by kind")
        return [Count(_label(row["kind"]), row["n"], "addresses, contacts or not") for row in rows]


def _label(kind: str) -> str:
    return _KINDS.get(kind, kind.replace("_", " "))


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
