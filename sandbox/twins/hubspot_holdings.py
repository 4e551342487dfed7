"""What the HubSpot twin holds, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sandbox.twins.holdings import Count, Fact, FieldDefinition, FieldValue, Group, Holdings, Person, Standing
from sandbox.twins.hubspot_contacts import SUBSCRIPTIONS
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION


class HubSpotHoldings(Holdings):
    """Standing: that of the subscription type which syncs speak for."""

    vendor = "HubSpot"
    people = "contacts"
    standings: ClassVar[Mapping[str, Standing]] = {
        "SUBSCRIBED": Standing(
            "subscribed", "subscribed", f"gets mail of the type “{SUBSCRIPTIONS[DEFAULT_SUBSCRIPTION]}”"
        ),
        "UNSUBSCRIBED": Standing(
            "unsubscribed", "unsubscribed", f"gets no mail of the type “{SUBSCRIPTIONS[DEFAULT_SUBSCRIPTION]}”"
        ),
        "OPTED_OUT": Standing("opted out", "unsubscribed", "wants no mail at all"),
        "BOUNCED": Standing("bounced", "suppressed", "mail came back, gets nothing"),
        "NOT_SPECIFIED": Standing("not specified", "other", "the address has said nothing yet"),
    }
    source = "contacts p"
    place, key, address, changed = "p.id", "cast(p.id as text)", "coalesce(p.email, '')", "p.updated_at"
    standing = f"""case when p.email in (select email from opted_out) then 'OPTED_OUT'
        when json_extract(p.properties, '$.hs_email_hard_bounce_reason_enum') is not null then 'BOUNCED'
        else coalesce((select s.status from statuses s where s.email = p.email
            and s.subscription_id = {DEFAULT_SUBSCRIPTION}), 'NOT_SPECIFIED') end"""
    inside = "p.id in (select id from list_members where list_id = ?)"

    def groups(self) -> list[Group]:
        rows = self.store.read(
            """select l.id, l.name, (select count(*) from list_members m where m.list_id = l.id) as n
               from lists l order by l.name"""
        )
        return [Group(str(row["id"]), row["name"], "list", row["n"]) for row in rows]

    def fields(self) -> list[FieldDefinition]:
        rows = self.store.properties().values()
        return [FieldDefinition(row["name"], row.get("label") or row["name"], row["type"]) for row in rows]

    def person(self, key: str) -> Person | None:
        contact = next(iter(self.store.contacts(int(key) - 1, 1)), None) if key.isdigit() and len(key) < 19 else None
        if contact is None or contact.id != int(key):
            return None
        standing = self.store.read(f"select {self.standing} as standing from contacts p where p.id = ?", contact.id)
        labels = {row.name: row.label for row in self.fields()}
        inside = self.store.read(
            "select l.name from list_members m join lists l on l.id = m.list_id where m.id = ? order by l.name",
            contact.id,
        )
        words = self.words_about(contact.email or "")
        return Person(
            key,
            contact.email or "",
            standing[0]["standing"],
            [*words, Fact("created", contact.created_at), Fact("last changed", contact.updated_at)],
            [FieldValue(name, labels.get(str(name), str(name)), value) for name, value in contact.properties.items()],
            [row["name"] for row in inside],
            [Fact("contact made", contact.created_at), *self.changes((contact.email or "").lower())],
        )

    def changes(self, person: str) -> list[Fact]:
        named = []
        for change in super().changes(person):
            number, _, source = change.detail.partition(" ")
            kind = SUBSCRIPTIONS.get(int(number), number) if number.isdigit() else ""
            named.append(Fact(change.what, change.at, ", ".join(part for part in (kind, source) if part)))
        return named

    def words_about(self, address: str) -> list[Fact]:
        wide = self.store.opted_out_at(address)
        rows = self.store.read("select * from statuses where email = ? order by subscription_id", address.lower())
        names = {**SUBSCRIPTIONS}
        return [
            *([Fact("opted out of everything", wide)] if wide else []),
            *(
                Fact(
                    names.get(r["subscription_id"], str(r["subscription_id"])),
                    r["at"],
                    f"{r['status'].lower().replace('_', ' ')} ({r['source']})",
                )
                for r in rows
            ),
        ]

    def beside_people(self) -> list[Count]:
        wide = self.store.read("select count(*) as n from opted_out")[0]["n"]
        return [Count("opted out of everything", wide, "addresses, contacts or not")]
