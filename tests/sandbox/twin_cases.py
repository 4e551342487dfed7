"""The twins of all vendors, served as the sync tests serve them: how each takes the same few people, and a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sandbox.twins.mailchimp_store import DEFAULT_LIST
from sandbox.twins.sendgrid_store import Contact
from tests.reverse_etl import hubspot_world, klaviyo_world, sendgrid_world, world


@dataclass(frozen=True)
class Case:
    vendor: str
    serve: Callable[[Path], Any]
    put: Callable[[Any, str, str, Mapping[str, Any]], object]
    """Somebody with an address, a standing (subscribed, unsubscribed, suppressed) and fields."""
    leave: Callable[[Any, str], object]
    """She unsubscribes."""
    add_field: Callable[[Any, str], object]
    key: str
    authorization: str
    method: str
    path: str
    """Of one request that brings records."""
    body: Callable[[Sequence[str]], Any]

    def headers(self, **given: str) -> dict[str, str]:
        return {"authorization": self.authorization, "revision": "2026-07-15", **given}

    def send(self, client: httpx.Client, *emails: str, **headers: str) -> int | None:
        """The status of the answer, None if there was none."""
        try:
            answer = client.request(self.method, self.path, json=self.body(emails), headers=self.headers(**headers))
        except httpx.TransportError:
            return None
        return answer.status_code


def _put_mailchimp(twin: world.TwinServer, email: str, standing: str, fields: Mapping[str, Any]) -> None:
    twin.put(email, "cleaned" if standing == "suppressed" else standing, **fields)


def _put_klaviyo(twin: klaviyo_world.KlaviyoServer, email: str, standing: str, fields: Mapping[str, Any]) -> None:
    twin.put(email, "SUBSCRIBED", *(["HARD_BOUNCE"] if standing == "suppressed" else []), **fields)
    if standing == "unsubscribed":
        twin.unsubscribe(email)


def _put_sendgrid(twin: sendgrid_world.SendGridTwin, email: str, standing: str, fields: Mapping[str, Any]) -> None:
    ids = {row["name"]: row["id"] for row in twin.store.fields()}
    twin.store.put_contact(Contact(email, custom={ids[name]: value for name, value in fields.items()}))
    if standing != "subscribed":
        twin.store.suppress("unsubscribes" if standing == "unsubscribed" else "bounces", email)


def _put_hubspot(twin: hubspot_world.HubSpotTwin, email: str, standing: str, fields: Mapping[str, Any]) -> None:
    bounced = {"hs_email_hard_bounce_reason_enum": "OTHER"} if standing == "suppressed" else {}
    twin.put(email, "UNSUBSCRIBED" if standing == "unsubscribed" else "SUBSCRIBED", **fields, **bounced)


def _klaviyo_body(emails: Sequence[str]) -> Any:
    rows = [{"type": "profile", "attributes": {"email": email}} for email in emails]
    return {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": rows}}}}


def _hubspot_field(name: str) -> dict[str, str]:
    return {"name": name, "label": name, "type": "string", "fieldType": "text", "groupName": "contactinformation"}


CASES = (
    Case(
        "Mailchimp",
        world.TwinServer,
        _put_mailchimp,
        lambda twin, email: twin.put(email, "unsubscribed", "member"),
        lambda twin, name: twin.store.add_merge_field(DEFAULT_LIST, tag=name, name=name, type="text"),
        world.API_KEY,
        f"Bearer {world.API_KEY}",
        "POST",
        f"/3.0/lists/{DEFAULT_LIST}",
        lambda emails: {"members": [{"email_address": email, "status": "subscribed"} for email in emails]},
    ),
    Case(
        "Klaviyo",
        klaviyo_world.KlaviyoServer,
        _put_klaviyo,
        lambda twin, email: twin.unsubscribe(email),
        lambda twin, name: None,  # a property is there once somebody has it
        klaviyo_world.API_KEY,
        f"Klaviyo-API-Key {klaviyo_world.API_KEY}",
        "POST",
        "/api/profile-bulk-import-jobs",
        _klaviyo_body,
    ),
    Case(
        "SendGrid",
        sendgrid_world.SendGridTwin,
        _put_sendgrid,
        lambda twin, email: twin.store.suppress("unsubscribes", email),
        lambda twin, name: twin.store.add_field(name, "Text"),
        sendgrid_world.SENDGRID_KEY,
        f"Bearer {sendgrid_world.SENDGRID_KEY}",
        "PUT",
        "/v3/marketing/contacts",
        lambda emails: {"contacts": [{"email": email} for email in emails]},
    ),
    Case(
        "HubSpot",
        hubspot_world.HubSpotTwin,
        _put_hubspot,
        lambda twin, email: twin.leave(email),
        lambda twin, name: twin.store.add_property(_hubspot_field(name)),
        hubspot_world.TOKEN,
        f"Bearer {hubspot_world.TOKEN}",
        "POST",
        "/crm/v3/objects/contacts/batch/upsert",
        lambda emails: {"inputs": [{"id": email, "idProperty": "email", "properties": {}} for email in emails]},
    ),
)
