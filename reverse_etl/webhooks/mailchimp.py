"""Audience webhooks of Mailchimp: one event each, form-encoded.

The vendor's guide "Sync audience data with webhooks" describes the signature and the fields of `subscribe` and
`unsubscribe`. Those of `cleaned` and `upemail` are as its former documentation had them [unverified].
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from reverse_etl.limits import limit
from reverse_etl.webhooks.reading import (
    instant_of_epoch,
    instant_of_text,
    key_of,
    not_understood,
    occurred,
    required,
    text,
)
from reverse_etl.webhooks.rows import ConsentEvent, EmailEvent, EventKind, Found, NoRow
from reverse_etl.webhooks.signature import Request, as_bytes, check_fresh, check_hmac, wrong

_MOST_FIELDS = 1000


def check(request: Request) -> None:
    """`X-Mailchimp-Signature: t=…,v1=…`: hex HMAC of `t.body`."""
    header = request.header("X-Mailchimp-Signature")
    parts = re.fullmatch(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", header)
    if parts is None:
        raise wrong()
    check_hmac(request, as_bytes(parts[1]) + b"." + request.body, parts[2], "hex")
    check_fresh("mailchimp", instant_of_epoch(parts[1]), request.now)


def items(request: Request) -> list[Any]:
    try:
        form = dict(parse_qsl(request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise not_understood("it is not a form") from None
    if "type" not in form:
        raise not_understood("it is not a form with a type")
    return [form]


def read(item: Any, received_at: datetime) -> Found:
    kind = required(item["type"], "type")
    if kind == "subscribe":
        return _claim(item, received_at)
    if kind not in {"unsubscribe", "cleaned"}:
        return NoRow(
            kind
        )  # profile, campaign; upemail: both addresses keep their own consent, and the new one has none
    event: EventKind = "unsubscribe" if kind == "unsubscribe" else "bounce"
    if item.get("data[reason]") == "abuse":
        event = "complaint"
    return EmailEvent(
        event_id=_key(item),
        event=event,
        email=required(item.get("data[email]"), "data[email]"),
        campaign_id=text(item.get("data[campaign_id]")),
        bounce_type="hard" if event == "bounce" else None,
        occurred_at=occurred(event, _happened(item, received_at), received_at),
        received_at=received_at,
    )


def _claim(item: Any, received_at: datetime) -> ConsentEvent:
    said = {name: text(item.get(f"data[{name}]")) for name in ("list_id", "ip_signup", "ip_opt")}
    return ConsentEvent(
        consent_event_id=_key(item),
        email=required(item.get("data[email]"), "data[email]"),
        evidence=json.dumps({"vendor": "mailchimp", **said}),
        occurred_at=occurred(None, _fired_at(item), received_at),
        received_at=received_at,
    )


def _key(item: Any) -> str:
    """Type, audience, person and second; `cleaned` has no id of the person, and so its content for a key."""
    return key_of(
        "mailchimp", (item["type"], item.get("data[list_id]"), item.get("data[id]"), item.get("fired_at")), item
    )


def _fired_at(item: Any) -> datetime | None:
    """`YYYY-MM-DD HH:MM:SS`, read as UTC: the vendor does not say which zone it is of [unverified]."""
    return instant_of_text(item.get("fired_at"))


def _happened(item: Any, received_at: datetime) -> datetime | None:
    """When it fired; when it arrived, if that is longer ago than the vendor tries.

    It is of another zone then. Dated hours too early, a refusal would be lifted by evidence that is older than it.
    """
    fired_at, tried = _fired_at(item), timedelta(seconds=limit("mailchimp_webhook", "seconds_tried"))
    return received_at if fired_at is not None and received_at - fired_at > tried else fired_at
