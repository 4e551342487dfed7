"""The four ports: what is different at each vendor, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sandbox.twins import sendgrid_rules
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION
from sandbox.twins.klaviyo_store import DEFAULT_LIST as KLAVIYO_LIST
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.conformance.port import Held, Port, What
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin, HubSpotWorld
from tests.reverse_etl.klaviyo_world import API_KEY as KLAVIYO_KEY
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld
from tests.reverse_etl.sendgrid_world import FILES, SENDGRID_KEY, SendGridTwin, SendGridWorld
from tests.reverse_etl.world import API_KEY as MAILCHIMP_KEY
from tests.reverse_etl.world import TwinServer, World
from warehouse.settings import Settings


def _shown(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    columns = {field: column for column, field in names.items()}
    return {columns.get(name, name): value for name, value in fields.items() if value not in (None, "")}


class MailchimpPort(Port):
    """An audience; segments are static segments."""

    vendor = "mailchimp"
    fields: ClassVar[Mapping[str, str]] = {
        "first_name": "FNAME",
        "city": "MW_CITY",
        "rec_1_price": "MW_R1PRICE",
        "last_name": "LNAME",
    }
    paths: ClassVar[Mapping[What, str]] = {
        "any": "",
        "create": "lists/[a-z]+$",
        "update": "lists/[a-z]+$",
        "lower": "lists/[a-z]+$",
        "segment": "segments/",
        "poll": "^$",
    }
    twin: TwinServer

    @classmethod
    def make(cls, settings: Settings, state: str = ":memory:", *, served: bool = False) -> Port:
        twin = TwinServer(state)
        port = cls(settings, twin, World(settings, twin), served=served)
        port.twin = twin
        return port

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MAILCHIMP_API_KEY": MAILCHIMP_KEY,
            "MAILCHIMP_LIST_ID": DEFAULT_LIST,
            "MAILCHIMP_BASE_URL": self.twin.url,
        }

    @property
    def naps(self) -> list[float]:
        return self.world.naps

    def held(self, email: str) -> Held | None:
        found = self.twin.member(email)
        return None if found is None else Held(found.status, _shown(found.merge_fields, self.fields))

    def status(self, email: str) -> str | None:
        return self.twin.status(email)

    def put(self, email: str, status: str = "subscribed", **columns: Any) -> None:
        # unsubscribed by the API: the kind that the vendor would let us raise
        by = "api" if status == "unsubscribed" else None
        self.twin.put(email, status, by, **{self.fields[name]: value for name, value in columns.items()})

    def _change(self, email: str, status: str | None = None, by: str | None = None, **columns: Any) -> None:
        found = self.twin.member(email)
        assert found is not None, email
        found.status, found.unsubscribed_by = status or found.status, by or found.unsubscribed_by
        found.merge_fields |= {self.fields[name]: value for name, value in columns.items()}
        self.twin.store.put_member(DEFAULT_LIST, found)

    def edit(self, email: str, **columns: Any) -> None:
        self._change(email, **columns)

    def unsubscribe(self, email: str) -> None:
        self._change(email, "unsubscribed", "api")

    def bounce(self, email: str) -> None:
        self._change(email, "cleaned")

    def complain(self, email: str) -> None:
        self._change(email, "unsubscribed", "abuse")

    def delete(self, email: str) -> None:
        found = self.twin.member(email)
        assert found is not None, email
        self.twin.store.forget(DEFAULT_LIST, found.id)

    def archive(self, email: str) -> None:
        self._change(email, "archived")

    def inside(self, segment: str) -> set[str]:
        inside = self.twin.inside(segment)
        return {
            m.email_address.lower() for m in self.twin.store.members(DEFAULT_LIST, count=10**6)[0] if m.id in inside
        }

    def put_inside(self, segment: str, *emails: str) -> None:
        self.twin.put_inside(segment, *emails)


class KlaviyoPort(Port):
    """Profiles and consent; segments are lists."""

    vendor = "klaviyo"
    fields: ClassVar[Mapping[str, str]] = {
        "first_name": "first_name",
        "city": "mw_city",
        "rec_1_price": "mw_price",
        "last_name": "last_name",
    }
    paths: ClassVar[Mapping[What, str]] = {
        "any": "",
        "create": "import-jobs$|subscription-bulk-create",
        "update": "import-jobs$|profile-import$",
        "lower": "subscription-bulk-delete",
        "segment": "relationships",
        "poll": "import-jobs/",
    }
    twin: KlaviyoServer

    @classmethod
    def make(cls, settings: Settings, state: str = ":memory:", *, served: bool = False) -> Port:
        twin = KlaviyoServer(state)
        port = cls(settings, twin, KlaviyoWorld(settings, twin), served=served)
        port.twin = twin
        return port

    @property
    def environment(self) -> dict[str, str]:
        return {"KLAVIYO_API_KEY": KLAVIYO_KEY, "KLAVIYO_LIST_ID": KLAVIYO_LIST, "KLAVIYO_BASE_URL": self.twin.url}

    @property
    def naps(self) -> list[float]:
        assert isinstance(self.world, KlaviyoWorld)
        return self.world.clock.naps

    def held(self, email: str) -> Held | None:
        found = self.twin.profile(email)
        if found is None:
            return None
        fields = {name: value for name, value in found.attributes.items() if name != "location"} | found.properties
        return Held(self.status(email) or "", _shown(fields, self.fields))

    def status(self, email: str) -> str | None:
        found = self.twin.profile(email)
        if found is None:
            return None
        reasons = {one["reason"] for one in found.suppressions}
        if found.consent == "UNSUBSCRIBED" or reasons & {"UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED"}:
            return "unsubscribed"
        return "cleaned" if reasons else found.consent.lower()

    def put(self, email: str, status: str = "subscribed", **columns: Any) -> None:
        consent = {"cleaned": "SUBSCRIBED"}.get(status, status.upper())
        reasons = {"cleaned": ["HARD_BOUNCE"], "unsubscribed": ["UNSUBSCRIBE"]}.get(status, [])
        self.twin.put(email, consent, *reasons)
        self.edit(email, **columns)

    def edit(self, email: str, **columns: Any) -> None:
        found = self.twin.profile(email)
        assert found is not None, email
        for column, value in columns.items():
            own = column in {"first_name", "last_name"}
            (found.attributes if own else found.properties)[self.fields[column]] = value
        self.twin.store.put_profile(found)

    def unsubscribe(self, email: str) -> None:
        self.twin.unsubscribe(email)

    def bounce(self, email: str) -> None:
        found = self.twin.profile(email)
        assert found is not None, email
        self.twin.put(email, found.consent, *{*(s["reason"] for s in found.suppressions), "HARD_BOUNCE"})

    def complain(self, email: str) -> None:
        self.twin.unsubscribe(email, "SPAM_COMPLAINT")

    def delete(self, email: str) -> None:
        self.twin.store.drop_profile(email)

    def inside(self, segment: str) -> set[str]:
        return self.twin.inside(segment)

    def put_inside(self, segment: str, *emails: str) -> None:
        self.twin.put_inside(segment, *emails)

    def jobs_take(self, looks: int) -> None:
        self.twin.door.worker.polls = looks

    def time_passes(self) -> None:
        self.twin.store._run("update jobs set polls_left = 0")
        while self.twin.store.open_jobs():
            self.twin.door.worker.tick()


class SendGridPort(Port):
    """Contacts and suppressions; segments are lists."""

    vendor = "sendgrid"
    fields: ClassVar[Mapping[str, str]] = {
        "first_name": "first_name",
        "city": "mw_city",
        "rec_1_price": "mw_price",
        "last_name": "last_name",
    }
    paths: ClassVar[Mapping[What, str]] = {
        "any": "",
        "create": "marketing/contacts$",
        "update": "marketing/contacts$",
        "lower": "suppressions/global",
        "segment": "marketing/contacts$|lists/.*/contacts$",
        "poll": "imports/",
    }
    twin: SendGridTwin

    @classmethod
    def outside(cls) -> Sequence[Any]:
        return [FILES]

    @classmethod
    def make(cls, settings: Settings, state: str = ":memory:", *, served: bool = False) -> Port:
        twin = SendGridTwin(state)
        port = cls(settings, twin, SendGridWorld(settings, twin), served=served)
        port.twin = twin
        return port

    @property
    def environment(self) -> dict[str, str]:
        return {"SENDGRID_API_KEY": SENDGRID_KEY, "SENDGRID_BASE_URL": self.twin.url}

    @property
    def naps(self) -> list[float]:
        return self.world.naps

    def held(self, email: str) -> Held | None:
        if self.twin.contact(email) is None:
            return None
        return Held(self.status(email) or "", _shown(self.twin.fields_of(email), self.fields))

    def status(self, email: str) -> str | None:
        return self.twin.status(email)

    def put(self, email: str, status: str = "subscribed", **columns: Any) -> None:
        self.twin.put(email)
        self.edit(email, **columns)
        if status != "subscribed":
            self.twin.store.suppress({"unsubscribed": "unsubscribes", "cleaned": "bounces"}[status], email)

    def edit(self, email: str, **columns: Any) -> None:
        found = self.twin.contact(email)
        assert found is not None, email
        for column, value in columns.items():
            if column in {"first_name", "last_name"}:
                found.fields[column] = value
            else:
                known = {row["name"]: row["id"] for row in self.twin.store.fields()}
                name = self.fields[column]
                found.custom[known.get(name) or self.twin.store.add_field(name, "Text")["id"]] = value
        self.twin.store.put_contact(found)

    def unsubscribe(self, email: str) -> None:
        self.twin.store.suppress("unsubscribes", email)

    def bounce(self, email: str) -> None:
        self.twin.store.suppress("bounces", email)

    def complain(self, email: str) -> None:
        self.twin.store.suppress("spam_reports", email)

    def delete(self, email: str) -> None:
        found = self.twin.contact(email)
        assert found is not None, email
        self.twin.store.drop_contact(found.id)

    def inside(self, segment: str) -> set[str]:
        return self.twin.inside(segment)

    def put_inside(self, segment: str, *emails: str) -> None:
        self.twin.put_inside(segment, *emails)

    def jobs_take(self, looks: int) -> None:
        self.twin.store.job_looks = looks

    def upset(self, quirk: int) -> None:
        troubles: list[Any] = ["failed", "forgotten", "late", "no_file", "other_file", "odd_file"]
        self.twin.app.troubles.clear()
        self.twin.app.troubles.extend(troubles[quirk - 1 : quirk] if quirk else [])

    def time_passes(self) -> None:
        pending = self.twin.store.jobs(only_pending=True)
        if pending:
            sendgrid_rules.end_jobs(self.twin.store, pending[-1].seq)


class HubSpotPort(Port):
    """Contacts, and their word to one subscription type; segments are manual lists."""

    vendor = "hubspot"
    fields: ClassVar[Mapping[str, str]] = {
        "first_name": "firstname",
        "city": "mw_city",
        "rec_1_price": "mw_price",
        "last_name": "lastname",
    }
    paths: ClassVar[Mapping[What, str]] = {
        "any": "",
        "create": "batch/write|batch/upsert",
        "update": "batch/upsert",
        "lower": "unsubscribe-all$",
        "segment": "memberships",
        "poll": "^$",
    }
    twin: HubSpotTwin

    @classmethod
    def make(cls, settings: Settings, state: str = ":memory:", *, served: bool = False) -> Port:
        twin = HubSpotTwin(state)
        port = cls(settings, twin, HubSpotWorld(settings, twin), served=served)
        port.twin = twin
        return port

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HUBSPOT_ACCESS_TOKEN": TOKEN,
            "HUBSPOT_SUBSCRIPTION_ID": str(DEFAULT_SUBSCRIPTION),
            "HUBSPOT_BASE_URL": self.twin.url,
        }

    @property
    def naps(self) -> list[float]:
        return self.world.naps

    def held(self, email: str) -> Held | None:
        if self.twin.contact(email) is None:
            return None
        return Held(self.status(email) or "", _shown(self.twin.fields_of(email), self.fields))

    def status(self, email: str) -> str | None:
        return self.twin.status(email)

    def put(self, email: str, status: str = "subscribed", **columns: Any) -> None:
        state = {"unsubscribed": "UNSUBSCRIBED", "transactional": None}.get(status, "SUBSCRIBED")
        self.twin.put(email, state)
        self.edit(email, **columns)
        if status == "cleaned":
            self.bounce(email)

    def edit(self, email: str, **columns: Any) -> None:
        found = self.twin.contact(email)
        assert found is not None, email
        found.properties |= {self.fields[name]: str(value) for name, value in columns.items()}
        self.twin.store.put_contact(found)

    def unsubscribe(self, email: str) -> None:
        self.twin.leave(email)

    def bounce(self, email: str) -> None:
        found = self.twin.contact(email)
        assert found is not None, email
        found.properties["hs_email_hard_bounce_reason_enum"] = "MAILBOX_FULL"
        self.twin.store.put_contact(found)

    def complain(self, email: str) -> None:
        """The vendor ends all mail to her."""
        self.twin.store.opt_out(email)

    def upset(self, quirk: int) -> None:
        """Its search shows a change only after so many further requests."""
        self.twin.store.search_lag = 5 if quirk % 3 == 1 else 0

    @property
    def raised(self) -> int:
        return self.twin.resubscribed

    def delete(self, email: str) -> None:
        self.twin.store.delete_contact(email)

    def inside(self, segment: str) -> set[str]:
        return self.twin.inside(segment)

    def put_inside(self, segment: str, *emails: str) -> None:
        self.twin.put_inside(segment, *emails)


PORTS: Mapping[str, type[Port]] = {one.vendor: one for one in (MailchimpPort, KlaviyoPort, SendGridPort, HubSpotPort)}
