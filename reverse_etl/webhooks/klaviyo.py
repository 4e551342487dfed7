"""System webhooks of Klaviyo: events of several topics in one body.

Source: the vendor's guide "Working with system webhooks". What an event's properties are called is documented for few
of them; names marked [unverified] are as the vendor's metrics call them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from reverse_etl.webhooks.reading import (
    addressed,
    bounded,
    fields,
    flag,
    inner,
    instant_of_epoch,
    instant_of_text,
    json_of,
    key_of,
    not_understood,
    occurred,
    required,
    text,
)
from reverse_etl.webhooks.rows import ConsentEvent, EmailEvent, EventKind, Found, NoRow
from reverse_etl.webhooks.signature import Request, as_bytes, check_fresh, check_hmac, wrong

PREFIX = "event:klaviyo."
_EVENTS: dict[str, EventKind] = {
    "received_email": "delivered",
    "email_delivered": "delivered",
    "opened_email": "open",
    "clicked_email": "click",
    "bounced_email": "bounce",
    "marked_email_as_spam": "complaint",
    "unsubscribed_from_email_marketing": "unsubscribe",
    # somebody decided that she gets no mail, for a reason that is not said: it counts like her own word
    "manually_suppressed_from_email_marketing": "unsubscribe",
}
_SUBSCRIBED = "subscribed_to_email_marketing"
TOPICS = frozenset({*_EVENTS, _SUBSCRIBED})
"""What becomes a row."""
_ADDRESSES = ("email_address", "Recipient Email Address", "$email", "email")  # [unverified] but for the first
_FLAGS: dict[str, str] = {"open": "machine_open", "click": "Bot Click"}  # [unverified]


def check(request: Request) -> None:
    """`Klaviyo-Signature`: hex HMAC of `body + Klaviyo-Timestamp`, in this order.

    That header dates nothing: it was seen to be local time called GMT, hours off (2026-09). The body's own date is
    what is looked at, once the body is known to be the vendor's.
    """
    signature, timestamp = request.header("Klaviyo-Signature"), request.header("Klaviyo-Timestamp")
    check_hmac(request, request.body + as_bytes(timestamp), signature, "hex")
    meta = inner(json_of(request.body), "meta")
    check_fresh("klaviyo", instant_of_text(inner(meta, "timestamp")), request.now)
    if request.header_if_any("Klaviyo-Webhook-Id") not in {None, text(inner(meta, "klaviyo_webhook_id"))}:
        raise wrong()


def items(request: Request) -> list[Any]:
    found = inner(json_of(request.body), "data")
    if not isinstance(found, list):
        raise not_understood("it holds no list of events")
    return bounded(found)


def read(item: Any, received_at: datetime) -> Found:
    item = fields(item)
    topic = required(item.get("topic"), "topic")
    kind = topic.removeprefix(PREFIX)
    event = _EVENTS.get(kind) if kind != topic else None
    is_claim = topic == PREFIX + _SUBSCRIBED
    if event is None and not is_claim:
        return NoRow(topic)
    payload = fields(item.get("payload"), "payload")
    attributes = inner(payload, "data", "attributes")
    properties = inner(attributes, "event_properties")
    key = key_of("klaviyo", (inner(payload, "data", "id") or text(item.get("external_id")),), item)
    email = _address(payload, properties)
    at = instant_of_epoch(inner(attributes, "timestamp")) or instant_of_text(inner(attributes, "datetime"))
    if event is None:
        return ConsentEvent(
            consent_event_id=key,
            email=required(email, "address"),
            evidence=json.dumps({"vendor": "klaviyo", "method": text(inner(properties, "method"))}),
            occurred_at=occurred(None, at, received_at),
            received_at=received_at,
        )
    row = EmailEvent(
        event_id=key,
        event=event,
        email=email or "",
        # the mailing's message: with the address, the one that she got
        message_id=text(inner(properties, "$message")),
        campaign_id=text(inner(properties, "$message")),
        link_url=text(inner(properties, "URL")) if event == "click" else None,
        is_provider_flagged_machine=flag(inner(properties, _FLAGS[event])) if event in _FLAGS else None,
        bounce_type=_bounce_type(inner(properties, "Bounce Type")) if event == "bounce" else None,
        occurred_at=occurred(event, at, received_at),
        received_at=received_at,
    )
    return addressed(row, inner(payload, "data", "relationships", "profile", "data", "id"))


def _bounce_type(value: Any) -> Literal["hard", "soft"] | None:
    """The topic is of both; what says which is [unverified], so without it a bounce suppresses nobody."""
    said = (text(value) or "").lower()
    return "hard" if said == "hard" else "soft" if said == "soft" else None


def _address(payload: Any, properties: Any) -> str | None:
    """The event's address; else that of the profile, if the payload includes it."""
    for name in _ADDRESSES:
        if found := text(inner(properties, name)):
            return found
    included = inner(payload, "included")
    for one in included if isinstance(included, list) else []:
        if inner(one, "type") == "profile" and (found := text(inner(one, "attributes", "email"))):
            return found
    return None
