"""What the Klaviyo twin holds, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sandbox.twins.holdings import Fact, FieldDefinition, FieldValue, Group, Holdings, Person, Standing


class KlaviyoHoldings(Holdings):
    vendor = "Klaviyo"
    people = "profiles"
    standings: ClassVar[Mapping[str, Standing]] = {
        "SUBSCRIBED": Standing("subscribed", "subscribed", "gets campaigns"),
        "UNSUBSCRIBED": Standing("unsubscribed", "unsubscribed", "left, gets no campaigns"),
        "SUPPRESSED": Standing("suppressed", "suppressed", "bounced, complained or was suppressed, gets nothing"),
        "NEVER_SUBSCRIBED": Standing("never subscribed", "other", "known, but never asked for campaigns"),
    }
    source = "profiles p"
    place, key, address, changed = "p.seq", "p.id", "coalesce(p.email, '')", "p.updated"
    standing = """case when p.consent = 'UNSUBSCRIBED' or instr(p.suppressions, '"UNSUBSCRIBE"') > 0 then 'UNSUBSCRIBED'
        when p.suppressions <> '[]' then 'SUPPRESSED' else p.consent end"""
    inside = "p.id in (select profile_id from list_profiles where list_id = ?)"

    def groups(self) -> list[Group]:
        rows = self.store.read(
            """select l.id, l.name, l.seq = 1 as is_main,
                   (select count(*) from list_profiles m where m.list_id = l.id) as n
               from lists l order by l.name"""
        )
        return [Group(row["id"], row["name"], "list", row["n"], bool(row["is_main"])) for row in rows]

    def fields(self) -> list[FieldDefinition]:
        """The vendor has no definitions: a property is there once somebody has it. A look at the last ones will do."""
        rows = self.store.read(
            """select key, min(type) as type from (select properties from profiles order by seq desc limit 1000) p,
                   json_each(p.properties) group by key order by key"""
        )
        return [FieldDefinition(row["key"], row["key"], row["type"]) for row in rows]

    def person(self, key: str) -> Person | None:
        found = self.store.profile_by_id(key)
        if found is None:
            return None
        lists = {row["id"]: row["name"] for row in self.store.lists()}
        inside = self.store.read("select list_id from list_profiles where profile_id = ?", key)
        double = {True: ", double opt-in", False: ", single opt-in", None: ""}[found.double_optin]
        facts = [
            Fact("consent to e-mail", found.consent_at or "", f"{found.consent.lower().replace('_', ' ')}{double}"),
            *(Fact("suppressed everywhere", s["timestamp"], s["reason"]) for s in found.suppressions),
            *(
                Fact("left a list", s["timestamp"], lists.get(s["list_id"], s["list_id"]))
                for s in found.list_suppressions
            ),
            Fact("created", found.created),
            Fact("last changed", found.updated),
        ]
        row = self.store.read(f"select {self.standing} as standing from profiles p where p.id = ?", key)[0]
        own: dict[str, Any] = {**found.attributes, **(found.attributes.get("location") or {})}
        own.pop("location", None)
        return Person(
            key,
            found.email or "",
            row["standing"],
            facts,
            [FieldValue(name, name, value) for name, value in {**own, **found.properties}.items()],
            sorted(lists[one["list_id"]] for one in inside if one["list_id"] in lists),
            [Fact("profile made", found.created), *self.changes(key)],
        )
