"""The same small world with HubSpot's twin in it, held to our own minimal contract of the vendor's API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destinations.hubspot import HubSpot
from sandbox.twins.faults import Faults
from sandbox.twins.hubspot import create_app
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION, Contact, Store
from tests.reverse_etl.world import Served, World, small_declaration
from warehouse.settings import Settings

TOKEN = "pat-na1-01234567-89ab-cdef-0123-456789abcdef"


class HubSpotTwin(Served):
    """The twin, and what a test looks at."""

    store: Store

    def __init__(self, state: Path | str, faults: Faults | None = None, **options: Any) -> None:
        self.faults = faults or Faults()
        store = Store(state, **options)
        self.app = create_app(store, self.faults, TOKEN)
        super().__init__(store, self.app, "")

    def contact(self, email: str) -> Contact | None:
        return self.store.contact(email)

    def fields_of(self, email: str) -> dict[str, str]:
        """Her non-empty properties."""
        contact = self.store.contact(email)
        assert contact is not None
        return contact.properties

    def status(self, email: str) -> str | None:
        """As the engine calls it; None: neither a contact nor somebody who left."""
        state = self.store.status(email)[0]
        if state == "UNSUBSCRIBED" or self.store.opted_out_at(email):
            return "unsubscribed"
        contact = self.store.contact(email)
        if contact is None:
            return None
        if "hs_email_hard_bounce_reason_enum" in contact.properties:
            return "cleaned"
        return {"SUBSCRIBED": "subscribed"}.get(state, "transactional")

    def put(self, email: str | None, state: str | None = "SUBSCRIBED", **properties: str) -> Contact:
        """Somebody else's contact; `state` None: her address said nothing."""
        if email and state:
            self.store.set_status(email, state, DEFAULT_SUBSCRIPTION, "Form")
        return self.store.put_contact(Contact(email, properties))

    def leave(self, email: str) -> None:
        """She unsubscribes from our type, on her own."""
        self.store.set_status(email, "UNSUBSCRIBED", DEFAULT_SUBSCRIPTION, "Preferences page")

    def list_id(self, name: str) -> int:
        known = {row["name"]: row["id"] for row in self.store.lists()}
        return known.get(name) or self.store.add_list(name)

    def put_inside(self, name: str, *emails: str) -> None:
        for email in emails:
            contact = self.store.contact(email)
            assert contact is not None
            self.store.set_in_list(self.list_id(name), contact.id, True)

    def inside(self, name: str) -> set[str]:
        ids = self.store.in_list(self.list_id(name))
        return {c.email for c in self.store.contacts() if c.id in ids and c.email}

    @property
    def resubscribed(self) -> int:
        """How often somebody who had left was subscribed: never, if all is well."""
        return self.store.counters().get("resubscribed", 0)


@dataclass
class HubSpotWorld(World):
    """One warehouse, one twin of HubSpot."""

    twin: HubSpotTwin  # pyright: ignore[reportIncompatibleVariableOverride]
    sync_name: str = "small"

    def destination(self, api_key: str = TOKEN, subscription_id: str = str(DEFAULT_SUBSCRIPTION)) -> HubSpot:  # pyright: ignore[reportIncompatibleMethodOverride]
        return HubSpot(
            api_key,
            subscription_id,
            base_url=self.twin.url,
            transport=self.transport,
            sleep=self.naps.append,
            timeout=self.timeout,
        )


def declare(settings: Settings, fields: Sequence[dict[str, Any]] = (), **changes: Any) -> SyncDeclaration:
    """The sync `small` of two fields, the account's own and one of ours, and perhaps more."""
    own = [
        {"column": "first_name", "field": "firstname", "name": "First name", "fallback": "there", "on_null": "keep"},
        {"column": "city", "field": "mw_city", "name": "City"},
    ]
    changes = {"addresses": "sync_esp__addresses", **changes}
    return small_declaration(settings, destination="hubspot", fields=[*own, *fields], **changes)


def fake_hubspot(handler: Callable[[httpx.Request], httpx.Response]) -> HubSpot:
    """The connector, answered by a function."""
    transport = httpx.MockTransport(handler)
    return HubSpot(TOKEN, "1", base_url="http://x", transport=transport, sleep=lambda _: None)
