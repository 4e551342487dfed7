"""The Event Webhook of SendGrid: a JSON array of events.

Sources: Twilio's "Event Webhook Reference" and "Getting Started with the Event Webhook Security Features".
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from reverse_etl.webhooks.reading import (
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
from reverse_etl.webhooks.signature import Request, as_bytes, check_fresh, wrong
from warehouse.errors import ConfigError

_EVENTS: dict[str, EventKind] = {
    "processed": "sent",
    "delivered": "delivered",
    "open": "open",
    "click": "click",
    "bounce": "bounce",
    "spamreport": "complaint",
    "unsubscribe": "unsubscribe",
    # she left one group, and which of our purposes that carries nobody here knows: it ends all mailings
    "group_unsubscribe": "unsubscribe",
}
"""Not here, on purpose: `dropped` (the vendor kept to its own list, whose entries have dates of their own),
`group_resubscribe` (lifts nothing), `deferred`."""
_BY_RECIPIENT = {"open", "click", "group_unsubscribe"}
"""Whose `ip` is the recipient's; that of a delivery is the vendor's own."""


def check(request: Request) -> None:
    """ECDSA on P-256 over `timestamp + body`; the secret is the public key as the vendor's API gives it."""
    signature = request.header("X-Twilio-Email-Event-Webhook-Signature")
    timestamp = request.header("X-Twilio-Email-Event-Webhook-Timestamp")
    key = _public_key(request.secret)
    try:
        key.verify(_decoded(signature), as_bytes(timestamp) + request.body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise wrong() from None
    check_fresh("sendgrid", instant_of_epoch(timestamp), request.now)


def _decoded(signature: str) -> bytes:
    try:
        decoded = base64.b64decode(signature, validate=True)
    except ValueError:
        raise wrong() from None
    if base64.b64encode(decoded).decode() != signature:
        raise wrong()
    return decoded


def _public_key(secret: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode("".join(secret.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(
            "The secret of a SendGrid webhook is its public key (P-256, Base64), and this is none.",
            todo="copy it from the vendor: Settings, Mail Settings, Event Webhook, or its API",
        )
    return key


def items(request: Request) -> list[Any]:
    found = json_of(request.body)
    if not isinstance(found, list):
        raise not_understood("it is not a list of events")
    return bounded(found)


def read(item: Any, received_at: datetime) -> Found:
    item = fields(item)
    said = required(item.get("event"), "event").lower()
    event = _EVENTS.get(said)
    if event is None:
        return NoRow(said)
    is_by_recipient = said in _BY_RECIPIENT
    return EmailEvent(
        event_id=key_of("sendgrid", (item.get("sg_event_id"),), item),
        event=event,
        email=required(item.get("email"), "email"),
        message_id=text(item.get("sg_message_id")),
        campaign_id=text(item.get("marketing_campaign_id")) or text(item.get("singlesend_id")),
        link_url=text(item.get("url")) if event == "click" else None,
        user_agent=text(item.get("useragent")) if is_by_recipient else None,
        ip=text(item.get("ip")) if is_by_recipient else None,
        is_provider_flagged_machine=flag(item.get("sg_machine_open")) if event == "open" else None,
        # `blocked` was for this time; without a type it is what the reference calls a bounce: permanent
        bounce_type=("hard" if text(item.get("type")) in {None, "bounce"} else "soft") if event == "bounce" else None,
        occurred_at=occurred(event, instant_of_epoch(item.get("timestamp")), received_at),
        received_at=received_at,
    )
