"""The same small world with SendGrid's twin in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destinations.sendgrid import SendGrid
from sandbox.twins.faults import Faults
from sandbox.twins.sendgrid import create_app
from sandbox.twins.sendgrid_store import Contact, Store
from tests.reverse_etl.world import Served, World, small_declaration
from warehouse.settings import Settings

SENDGRID_KEY = "SG.0123456789abcdef.0123456789abcdef0123456789abcdef"
FILES = re.compile(r"http://127\.0\.0\.1:\d+/__files__/[0-9a-z]+")
"""What is downloaded is no operation of the API: no specification holds it."""


class SendGridTwin(Served):
    """The twin, and what a test looks at."""

    store: Store

    def __init__(self, state: Path | str, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        store = Store(state)
        self.app = create_app(store, self.faults, SENDGRID_KEY)
        super().__init__(store, self.app, "v3")

    def contact(self, email: str) -> Contact | None:
        return self.store.contact(email)

    def fields_of(self, email: str) -> dict[str, Any]:
        """Her non-empty fields, custom ones by name."""
        contact = self.store.contact(email)
        assert contact is not None
        names = {row["id"]: row["name"] for row in self.store.fields()}
        shown = {**contact.fields, **{names[key]: value for key, value in contact.custom.items()}}
        return {name: value for name, value in shown.items() if value != ""}

    def status(self, email: str) -> str | None:
        kinds = self.store.suppressed_as(email)
        if kinds & {"unsubscribes", "spam_reports"}:
            return "unsubscribed"
        if kinds:
            return "cleaned"
        return "subscribed" if self.store.contact(email) else None

    def put(self, email: str, identifiers: dict[str, str] | None = None, **fields: str) -> Contact:
        return self.store.put_contact(Contact(email, fields, identifiers=identifiers or {}))

    def put_inside(self, list_name: str, *emails: str) -> None:
        known = {row["name"]: row["id"] for row in self.store.lists()}
        list_id = known.get(list_name) or self.store.add_list(list_name)
        for email in emails:
            contact = self.store.contact(email)
            assert contact is not None
            self.store.set_in_list(list_id, contact.id, True)

    def inside(self, list_name: str) -> set[str]:
        return self.store.addresses_in(list_name)

    def jobs(self) -> list[str]:
        """Their states."""
        return [job.status for job in self.store.jobs()]


@dataclass
class SendGridWorld(World):
    """One warehouse, one twin of SendGrid."""

    twin: SendGridTwin  # pyright: ignore[reportIncompatibleVariableOverride]
    sync_name: str = "small"

    def destination(self, api_key: str = SENDGRID_KEY, account: str = "default") -> SendGrid:  # pyright: ignore[reportIncompatibleMethodOverride]
        return SendGrid(
            api_key,
            account,
            base_url=self.twin.url,
            transport=self.transport,
            sleep=self.naps.append,
            timeout=self.timeout,
        )


def declare(settings: Settings, fields: Sequence[dict[str, Any]] = (), **changes: Any) -> SyncDeclaration:
    """The sync `small` of two fields, the vendor's own and one of ours, and perhaps more."""
    own = [
        {"column": "first_name", "field": "first_name", "name": "First name", "fallback": "there"},
        {"column": "city", "field": "mw_city", "name": "City"},
    ]
    return small_declaration(settings, destination="sendgrid", fields=[*own, *fields], **changes)
