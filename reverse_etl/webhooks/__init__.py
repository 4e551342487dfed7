"""Webhooks of the destinations: what a vendor calls back with, checked and made rows of the raw tables.

Nothing here listens, and nothing is kept: whoever receives a delivery hands it over as it came (the body as bytes) and
lands the rows. Keys are the vendor's own, so a delivery that comes twice, late or in parts does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from reverse_etl.errors import WebhookRefused, without_secrets
from reverse_etl.limits import limit
from reverse_etl.webhooks import hubspot, klaviyo, mailchimp, sendgrid
from reverse_etl.webhooks.reading import Malformed, naive_utc
from reverse_etl.webhooks.rows import (
    ConsentEvent,
    EmailEvent,
    Found,
    NoRow,
    Rejected,
    Unaddressed,
    WebhookBatch,
    to_jsonl,
)
from reverse_etl.webhooks.signature import Request
from warehouse.errors import ConfigError

__all__ = ["ConsentEvent", "EmailEvent", "Rejected", "Unaddressed", "WebhookBatch", "read_webhook", "to_jsonl"]

_VENDORS = {"mailchimp": mailchimp, "klaviyo": klaviyo, "sendgrid": sendgrid, "hubspot": hubspot}
Row = TypeVar("Row", EmailEvent, ConsentEvent, Unaddressed)


def read_webhook(
    vendor: str, headers: Mapping[str, str], raw_body: bytes, secret: str, *, method: str, url: str, now: datetime
) -> WebhookBatch:
    """A delivery's rows, after its signature was checked.

    Args:
        vendor: mailchimp, klaviyo, sendgrid or hubspot.
        headers: as they came; the case of their names does not matter.
        raw_body: the bytes as they came, before anything parses or decodes them.
        secret: what the vendor signs with: Mailchimp's signing secret, Klaviyo's secret key, SendGrid's public key,
            the client secret of the HubSpot app.
        method: POST.
        url: as the vendor called it, with scheme and query, not as a proxy passed it on (HubSpot signs it).
        now: the wall clock; naive is UTC.

    Raises:
        WebhookRefused: the signature is missing, wrong or not of now, or the body is too large or not understood.
        ConfigError: an unknown vendor; a secret that is none.
    """
    if vendor not in _VENDORS:
        raise ConfigError(f"'{vendor}' sends no webhooks that are known here; known are {', '.join(_VENDORS)}.")
    if not secret:
        raise ConfigError(f"There is no secret for the webhooks of {vendor}.", todo="set it: unsigned ones are refused")
    most = limit("webhook", "body_bytes")
    if len(raw_body) > most:
        raise WebhookRefused(f"The webhook's body is larger than {most:,} bytes.")
    request = Request(headers, raw_body, secret, method, url, naive_utc(now))
    _VENDORS[vendor].check(request)
    found: list[Found] = []
    rejected: list[Rejected] = []
    for position, item in enumerate(_VENDORS[vendor].items(request)):
        try:
            found.append(_VENDORS[vendor].read(item, request.now))
        except Malformed as error:
            rejected.append(Rejected(position, str(error)))
    return WebhookBatch(
        email_events=_once(found, EmailEvent),
        consent_events=_once(found, ConsentEvent),
        unaddressed=_once(found, Unaddressed),
        without_row=Counter(without_secrets(one.what)[:100] for one in found if isinstance(one, NoRow)),
        rejected=tuple(rejected),
    )


def _once(found: list[Found], kind: type[Row]) -> tuple[Row, ...]:
    return tuple(dict.fromkeys(one for one in found if isinstance(one, kind)))
