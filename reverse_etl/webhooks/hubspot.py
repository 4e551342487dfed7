"""Webhooks of HubSpot's CRM: changes of contacts, by the contact's id alone.

Sources: the vendor's "Validating requests" and "Webhooks API". Mail that was opened or clicked does not come this way;
what can come are the properties that say who may not be mailed. Whether an account may subscribe to them is
[unverified]: the vendor's own list is shown when a subscription is made.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from reverse_etl.webhooks.reading import (
    addressed,
    bounded,
    fields,
    flag,
    instant_of_epoch,
    json_of,
    key_of,
    not_understood,
    occurred,
    required,
    text,
)
from reverse_etl.webhooks.rows import EmailEvent, EventKind, Found, NoRow
from reverse_etl.webhooks.signature import Request, as_bytes, check_fresh, check_hmac

_DECODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
"""What the vendor decodes in the URL before it signs."""
_CONTACT = "0-1"
_OPTED_OUT = re.compile(r"hs_email_optout(_[0-9]+)?")
"""Of all mail, or of one subscription type: which of our purposes that carries nobody here knows."""
_HARD_BOUNCE = "hs_email_hard_bounce_reason_enum"


def check(request: Request) -> None:
    """`X-HubSpot-Signature-v3`: Base64 HMAC of method, URL, body and the timestamp in milliseconds."""
    signature = request.header("X-HubSpot-Signature-v3")
    timestamp = request.header("X-HubSpot-Request-Timestamp")
    url = _DECODED.sub(lambda found: unquote(found[0]), request.url.partition("#")[0])
    check_hmac(request, as_bytes(request.method + url) + request.body + as_bytes(timestamp), signature, "base64")
    check_fresh("hubspot", instant_of_epoch(timestamp, per_second=1000), request.now)


def items(request: Request) -> list[Any]:
    found = json_of(request.body)
    if not isinstance(found, list):
        raise not_understood("it is not a list of events")
    return bounded(found)


def read(item: Any, received_at: datetime) -> Found:
    item = fields(item)
    kind = required(item.get("subscriptionType"), "subscriptionType")
    event = _event(kind, item)
    if event is None:
        changed = text(item.get("propertyName"))
        return NoRow(f"{kind} {changed}" if changed else kind)
    # the id alone need not be unique; how often it was tried is no part of what happened
    parts = tuple(item.get(name) for name in ("portalId", "eventId", "objectId", "occurredAt"))
    content = {name: value for name, value in item.items() if name != "attemptNumber"}
    row = EmailEvent(
        event_id=key_of("hubspot", parts, content),
        event=event,
        email="",
        bounce_type="hard" if event == "bounce" else None,
        occurred_at=occurred(event, instant_of_epoch(item.get("occurredAt"), per_second=1000), received_at),
        received_at=received_at,
    )
    return addressed(row, item.get("objectId"))


def _event(kind: str, item: Any) -> EventKind | None:
    if kind == "contact.privacyDeletion":
        return "unsubscribe"  # she is to be forgotten: whatever else that means, no mail
    is_of_contact = kind == "contact.propertyChange" or (
        kind == "object.propertyChange" and item.get("objectTypeId") == _CONTACT
    )
    name, value = text(item.get("propertyName")) or "", item.get("propertyValue")
    if is_of_contact and _OPTED_OUT.fullmatch(name) and flag(value):
        return "unsubscribe"
    if is_of_contact and name == _HARD_BOUNCE and text(value):
        return "bounce"
    return None
