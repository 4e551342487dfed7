"""What the Mailchimp twin holds, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sandbox.twins.holdings import Count, Fact, FieldDefinition, FieldValue, Group, Holdings, Person, Standing
from sandbox.twins.mailchimp_store import subscriber_hash


class MailchimpHoldings(Holdings):
    vendor = "Mailchimp"
    people = "members"
    standings: ClassVar[Mapping[str, Standing]] = {
        "subscribed": Standing("subscribed", "subscribed", "gets campaigns"),
        "unsubscribed": Standing("unsubscribed", "unsubscribed", "left the list, gets no campaigns"),
        "cleaned": Standing("cleaned", "suppressed", "mail came back, gets nothing"),
        "pending": Standing("pending", "other", "has not confirmed yet"),
        "transactional": Standing("transactional", "other", "known, but never asked for campaigns"),
        "archived": Standing("archived", "other", "put away by somebody"),
    }
    source = "members p"
    place, key, address = "p.seq", "p.list_id || '-' || p.id", "p.email_address"
    standing, changed = "p.status", "p.last_changed"
    inside = "p.id in (select id from segment_members where segment_id = ?)"

    def groups(self) -> list[Group]:
        lists = self.store.read(
            """select l.list_id, l.name, (select count(*) from members m where m.list_id = l.list_id) as n
               from lists l order by l.list_id"""
        )
        segments = self.store.read(
            """select s.id, s.name, (select count(*) from segment_members m where m.segment_id = s.id) as n
               from segments s order by s.name"""
        )
        return [
            *(Group("", row["name"], "audience", row["n"], is_main=True) for row in lists),
            *(Group(str(row["id"]), row["name"], "tag", row["n"]) for row in segments),
        ]

    def fields(self) -> list[FieldDefinition]:
        rows = self.store.read("select tag, name, type from merge_fields order by list_id, display_order, merge_id")
        return [FieldDefinition(row["tag"], row["name"], row["type"]) for row in rows]

    def person(self, key: str) -> Person | None:
        list_id, _, member_id = key.rpartition("-")
        member = self.store.member(list_id, member_id)
        if member is None:
            return None
        by = {"member": "by the person", "api": "by a program"}.get(member.unsubscribed_by or "", "")
        facts = [
            Fact("status", "", " ".join(part for part in (member.status, by) if part)),
            Fact("on the list since", member.timestamp_opt),
            Fact("last changed", member.last_changed),
        ]
        return Person(
            key,
            member.email_address,
            member.status,
            facts,
            [FieldValue(f.name, f.label, member.merge_fields.get(f.name, "")) for f in self.fields()],
            [tag["name"] for tag in self.store.tags_of(list_id, member_id)],
            [Fact("on the list", member.timestamp_opt), *self.changes(key)],
        )

    def words_about(self, address: str) -> list[Fact]:
        rows = self.store.read("select 1 from forgotten where id = ?", subscriber_hash(address))
        return [Fact("deleted for good", "", "the address cannot be added again")] if rows else []

    def beside_people(self) -> list[Count]:
        n = self.store.read("select count(*) as n from forgotten")[0]["n"]
        return [Count("deleted for good", n, "addresses that cannot be added again")]
