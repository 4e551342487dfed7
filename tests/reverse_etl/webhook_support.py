"""Deliveries of webhooks as the vendors would sign them.

Nothing here comes from what is tested: HMAC is written out after RFC 2104, ECDSA on P-256 after FIPS 186 and SEC 1.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from reverse_etl.webhooks import WebhookBatch, read_webhook

NOW = datetime(2026, 6, 1, 12, 0, 0)
URL = "https://hooks.shop.test/in?to=a%40b%2Fc"
VENDORS = ("mailchimp", "klaviyo", "sendgrid", "hubspot")
SIGNED_HEADERS = {
    "mailchimp": ("X-Mailchimp-Signature",),
    "klaviyo": ("Klaviyo-Signature", "Klaviyo-Timestamp"),
    "sendgrid": ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"),
    "hubspot": ("X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"),
}


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_KEY_HEADER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""DER of a public key on this curve, before its point (RFC 5480)."""
Point = tuple[int, int]


def _plus(one: Point, other: Point) -> Point:
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P) % _P
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def _times(factor: int) -> Point:
    found, doubled = None, _G
    while factor:
        if factor & 1:
            found = doubled if found is None else _plus(found, doubled)
        doubled, factor = _plus(doubled, doubled), factor >> 1
    assert found is not None
    return found


def _der(number: int) -> bytes:
    body = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(body)]) + body


PRIVATE = 0x1F2E3D4C5B6A79880716253443526170_89ABCDEF0123456789ABCDEF01234567
PUBLIC_KEY = base64.b64encode(
    _KEY_HEADER + b"\x04" + b"".join(part.to_bytes(32, "big") for part in _times(PRIVATE))
).decode()


def ecdsa(message: bytes) -> str:
    """Base64 of the DER signature, with a nonce of the message's own."""
    digest = hashlib.sha256(message).digest()
    nonce = int.from_bytes(hashlib.sha256(b"nonce" + digest).digest(), "big") % (_N - 1) + 1
    r = _times(nonce)[0] % _N
    s = pow(nonce, -1, _N) * (int.from_bytes(digest, "big") + r * PRIVATE) % _N
    body = _der(r) + _der(s)
    return base64.b64encode(b"\x30" + bytes([len(body)]) + body).decode()


SECRETS = {
    "mailchimp": "chimp-signing-secret",
    "klaviyo": "klaviyo-secret-key-of-ours",
    "sendgrid": PUBLIC_KEY,
    "hubspot": "hubspot-client-secret",
}


@dataclass(frozen=True)
class Delivery:
    """What arrives."""

    vendor: str
    headers: Mapping[str, str]
    body: bytes

    def read(self, now: datetime = NOW, **other: Any) -> WebhookBatch:
        given = {"secret": SECRETS[self.vendor], "method": "POST", "url": URL, **other}
        return read_webhook(self.vendor, self.headers, self.body, given.pop("secret"), now=now, **given)

    def with_header(self, name: str, value: str) -> Delivery:
        return replace(self, headers={**self.headers, name: value})


def epoch(instant: datetime) -> int:
    return int(instant.replace(tzinfo=UTC).timestamp())


def signed(vendor: str, body: bytes, at: datetime = NOW) -> Delivery:
    """A body with the vendor's signature of this second."""
    secret, seconds = SECRETS[vendor].encode(), str(epoch(at))
    if vendor == "mailchimp":
        digest = hmac_sha256(secret, seconds.encode() + b"." + body).hex()
        headers = {"X-Mailchimp-Signature": f"t={seconds},v1={digest}"}
    elif vendor == "klaviyo":
        # as the vendor was seen to do: local time, called GMT
        stamp = format_datetime((at + timedelta(hours=5)).replace(tzinfo=UTC), usegmt=True)
        headers = {
            "Klaviyo-Webhook-Id": "WH1",
            "Klaviyo-Timestamp": stamp,
            "Klaviyo-Signature": hmac_sha256(secret, body + stamp.encode()).hex(),
        }
    elif vendor == "sendgrid":
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": ecdsa(seconds.encode() + body),
            "X-Twilio-Email-Event-Webhook-Timestamp": seconds,
        }
    else:
        said = b"POST" + b"https://hooks.shop.test/in?to=a@b/c" + body + seconds.encode() + b"000"
        headers = {
            "X-HubSpot-Request-Timestamp": seconds + "000",
            "X-HubSpot-Signature-v3": base64.b64encode(hmac_sha256(secret, said)).decode(),
        }
    return Delivery(vendor, headers, body)


def delivery(vendor: str, items: Sequence[Any], at: datetime = NOW) -> Delivery:
    """Items as this vendor puts them into a body; Mailchimp sends one at a time."""
    if vendor == "mailchimp":
        (item,) = items
        return signed(vendor, urlencode(item).encode(), at)
    content: Any = list(items)
    if vendor == "klaviyo":
        sent = at.replace(tzinfo=UTC).isoformat()
        content = {
            "meta": {
                "klaviyo_account_id": "ACC1",
                "klaviyo_webhook_id": "WH1",
                "timestamp": sent,
                "version": "2026-07-15",
            },
            "data": content,
        }
    return signed(vendor, json.dumps(content).encode(), at)


# --- items, with the fields of the vendors' documentation ---

HAPPENED = datetime(2026, 6, 1, 11, 30, 0)


def sendgrid_event(event: str, key: str = "e1", **more: Any) -> dict[str, Any]:
    return {
        "email": "ann@shop.test",
        "timestamp": epoch(HAPPENED),
        "smtp-id": "<m1@ismtpd-1>",
        "event": event,
        "category": ["news"],
        "sg_event_id": key,
        "sg_message_id": "m1.filter-1.0",
        **more,
    }


def mailchimp_form(kind: str, **data: str) -> dict[str, str]:
    given = {"id": "8a25ff1d98", "list_id": "a6b5da1054", "email": "ann@shop.test", **data}
    return {
        "type": kind,
        "fired_at": "2026-06-01 11:30:00",
        **{f"data[{name}]": value for name, value in given.items()},
        "data[merges][FNAME]": "Ann & Co",
    }


def klaviyo_event(topic: str, key: str = "K1", person: str = "P1", **properties: Any) -> dict[str, Any]:
    return {
        "external_id": key,
        "topic": f"event:klaviyo.{topic}",
        "payload": {
            "data": {
                "type": "event",
                "id": key,
                "attributes": {
                    "timestamp": epoch(HAPPENED),
                    "datetime": "2026-06-01T11:30:00+00:00",
                    "event_properties": {"email_address": "ann@shop.test", **properties},
                },
                "relationships": {"profile": {"data": {"type": "profile", "id": person}}},
            }
        },
    }


def hubspot_change(name: str | None, value: Any = "true", **more: Any) -> dict[str, Any]:
    changed = {} if name is None else {"propertyName": name, "propertyValue": value}
    return {
        "eventId": 1,
        "subscriptionId": 12,
        "portalId": 62515,
        "appId": 54321,
        "occurredAt": epoch(HAPPENED) * 1000,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": 123,
        "changeSource": "CRM_UI",
        **changed,
        **more,
    }


SAMPLES: dict[str, list[Any]] = {
    "mailchimp": [
        mailchimp_form("unsubscribe", action="unsub", reason="manual", campaign_id="c1"),
        mailchimp_form("cleaned", reason="hard", id=""),
        mailchimp_form("subscribe", ip_signup="192.0.2.1", ip_opt="192.0.2.2"),
    ],
    "klaviyo": [
        klaviyo_event("received_email", "K1", **{"$message": "M1"}),
        klaviyo_event("clicked_email", "K2", **{"$message": "M1", "URL": "https://shop.test/"}),
        klaviyo_event("unsubscribed_from_email_marketing", "K3", method="PROFILE_PAGE"),
        klaviyo_event("subscribed_to_email_marketing", "K4", method="FORM"),
        klaviyo_event("bounced_email", "K5", email_address=None),
    ],
    "sendgrid": [
        sendgrid_event("processed", "e1"),
        sendgrid_event("open", "e2", useragent="Firefox", ip="192.0.2.1", sg_machine_open=True),
        sendgrid_event("click", "e3", useragent="Firefox", ip="192.0.2.1", url="https://shop.test/"),
        sendgrid_event("bounce", "e4", type="bounce"),
        sendgrid_event("unsubscribe", "e5"),
    ],
    "hubspot": [
        hubspot_change("hs_email_optout", eventId=1),
        hubspot_change("hs_email_hard_bounce_reason_enum", "UNKNOWN_USER", eventId=2),
        hubspot_change(None, subscriptionType="contact.privacyDeletion", eventId=3),
    ],
}
