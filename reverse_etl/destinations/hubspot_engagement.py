"""What people did with HubSpot's mail: its email events, by type.

Source: the vendor's legacy "Email events" API (v1), its guide and reference; newest first, pages by an opaque offset.
An event is identified by id and date of creation. Nothing of it is in what webhooks call back with: those tell of
contacts' properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from reverse_etl.destinations.hubspot_api import KIND, Api
from reverse_etl.engagement import EngagementPage, Since, newest, read_page
from reverse_etl.errors import DestinationConfigError
from reverse_etl.limits import limit
from reverse_etl.webhooks.reading import fields, flag, inner, instant_of_epoch, key_of, occurred, required, text
from reverse_etl.webhooks.rows import EmailEvent, EventKind, Found, NoRow

EVENTS = "/email/public/v1/events"
TYPES: dict[str, EventKind] = {
    "SENT": "sent",
    "DELIVERED": "delivered",
    "OPEN": "open",
    "CLICK": "click",
    "BOUNCE": "bounce",
    "SPAMREPORT": "complaint",
    "STATUSCHANGE": "unsubscribe",
}
_BY_RECIPIENT = {"OPEN", "CLICK"}
_NO_ADDRESS = re.compile(r"5\.1\.\d+")
"""Enhanced status of an address that does not exist (RFC 3463, X.1.X)."""


def pull(api: Api, since: Since, now: datetime) -> Iterator[EngagementPage]:
    for kind in TYPES:
        yield from _of_type(api, kind, since, now)


def _of_type(api: Api, kind: str, since: Since, now: datetime) -> Iterator[EngagementPage]:
    params: dict[str, Any] = {"eventType": kind, "limit": limit(KIND, "events_page_size")}
    after = since(kind)
    if after is not None:
        params["startTimestamp"] = int(after.replace(tzinfo=UTC).timestamp() * 1000)
    reached = after
    while True:
        status, body = api.send("GET", EVENTS, params=params)
        if status == 403:
            raise DestinationConfigError(
                "The HubSpot access token may not read email events.",
                where=api.http.where,
                todo="give its app the scope `content`, then run `mailwright pull` again",
            )
        if status >= 300:
            raise api.refusal(status, body)
        page = read_page(kind, inner(body, "events") or [], lambda item: _read(item, now))
        reached = newest(page, now, reached)
        following = text(inner(body, "offset"))
        is_last = inner(body, "hasMore") is not True or following is None or following == params.get("offset")
        # newest first: what is reached is known when all of it is read
        yield EngagementPage(kind, page.found, page.rejected, reached if is_last else None)
        if is_last:
            return
        params["offset"] = following


def _read(item: Any, now: datetime) -> Found:
    item = fields(item)
    kind = required(item.get("type"), "type")
    event = TYPES.get(kind)
    if event is None:
        return NoRow(kind)
    if kind == "STATUSCHANGE" and not _is_refusal(item):
        return NoRow("STATUSCHANGE that ends nothing")
    own = text(item.get("id"))
    return EmailEvent(
        event_id=key_of(KIND, ("email", own, item.get("created")), item),
        event=event,
        email=required(item.get("recipient"), "recipient"),
        occurred_at=occurred(event, instant_of_epoch(item.get("created"), per_second=1000), now),
        received_at=now,
        message_id=own if kind == "SENT" else text(inner(item, "sentBy", "id")),
        campaign_id=text(item.get("emailCampaignId")),
        link_url=text(item.get("url")) if kind == "CLICK" else None,
        user_agent=text(item.get("userAgent")) if kind in _BY_RECIPIENT else None,
        ip=text(item.get("ipAddress")) if kind in _BY_RECIPIENT else None,
        # filtered by the account's settings: addresses of one's own, known machines
        is_provider_flagged_machine=flag(item.get("filteredEvent")) if kind in _BY_RECIPIENT else None,
        bounce_type=_bounce_type(item) if kind == "BOUNCE" else None,
    )


def _is_refusal(item: Any) -> bool:
    """She left all mail, or one type of subscription: which of our purposes that carries nobody here knows."""
    whole = text(item.get("portalSubscriptionStatus"))
    if whole is not None:
        return whole == "UNSUBSCRIBED"
    parts = item.get("subscriptions")
    named = parts if isinstance(parts, list) else []
    return any(text(inner(part, "status")) == "UNSUBSCRIBED" for part in named)


def _bounce_type(item: Any) -> Literal["hard", "soft"] | None:
    """A bounce here may be of the content, too: hard is one that says of the address that it does not exist."""
    status = text(item.get("status")) or ""
    if text(item.get("category")) == "UNKNOWN_USER" or _NO_ADDRESS.fullmatch(status):
        return "hard"
    return "soft" if status.startswith("4.") else None
