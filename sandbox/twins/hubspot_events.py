"""Email events of the HubSpot twin: the vendor's legacy API v1.

[vdoc] newest first; startTimestamp "at or after", endTimestamp "at or before", in milliseconds; at most 1000 at once.
Without a source: what an offset is made of (here a position, the worst reading: what arrives meanwhile shifts it, so
that events are told twice), the answer to a limit that is too large, and which words a bounce has.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.twins import hubspot_rules as rules
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION, Contact, Store
from sandbox.twins.mail import MailEvent, campaign_route

TYPES = {
    "sent": "SENT",
    "delivered": "DELIVERED",
    "open": "OPEN",
    "click": "CLICK",
    "bounce": "BOUNCE",
    "complaint": "SPAMREPORT",
    "unsubscribe": "STATUSCHANGE",
    "renewal": "STATUSCHANGE",
    "deferred": "DEFERRED",
}
MAX_PAGE = 1000
_BOUNCED = "hs_email_hard_bounce_reason_enum"
PORTAL = 62515


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


class Events:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def events(self, request: Request) -> Response:
        query = request.query_params
        size = int(query.get("limit", 10))
        if size > MAX_PAGE:
            return rules.error(400, "VALIDATION_ERROR", f"limit is at most {MAX_PAGE}")
        start, end = int(query.get("startTimestamp", 0)), int(query.get("endTimestamp", 2**62))
        kinds = [kind for kind, shown in TYPES.items() if query.get("eventType", shown) == shown]
        found = [one for one in self.store.mail.events(*kinds) if start <= _millis(one.at) <= end]
        found.sort(key=lambda one: (-_millis(one.at), one.id))
        position = int(base64.urlsafe_b64decode(query["offset"])) if query.get("offset") else 0
        shown, following = found[position : position + size], position + size
        offset = base64.urlsafe_b64encode(str(following).encode()).decode()
        sent = {(one.mailing, one.email): one for one in self.store.mail.events("sent")}
        events = [_event(one, sent.get((one.mailing, one.email))) for one in shown]
        return JSONResponse({"hasMore": following < len(found), "offset": offset, "events": events})


def _event(event: MailEvent, sent: MailEvent | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": event.id,
        "created": _millis(event.at),
        "type": TYPES[event.kind],
        "recipient": event.email,
        "portalId": PORTAL,
        "appId": 113,
        "appName": "Batch",
        "emailCampaignId": event.mailing,
    }
    if sent is not None and event.kind != "sent":
        shown["sentBy"] = {"id": sent.id, "created": _millis(sent.at)}
    if event.kind in {"open", "click"}:
        shown["filteredEvent"] = bool(event.detail.get("is_machine"))
        names = {"ip": "ipAddress", "user_agent": "userAgent", "url": "url"}
        shown |= {name: event.detail[key] for key, name in names.items() if key in event.detail}
    elif event.kind == "bounce":
        is_hard = event.detail.get("type") == "hard"
        shown |= {"category": "UNKNOWN_USER" if is_hard else "MAILBOX_FULL", "status": "5.1.1" if is_hard else "4.2.2"}
    elif event.kind in {"unsubscribe", "renewal"}:
        word = "UNSUBSCRIBED" if event.kind == "unsubscribe" else "SUBSCRIBED"
        shown |= {"source": "SOURCE_RECIPIENT", "portalSubscriptionStatus": word}
        if "subscription" in event.detail:  # of one type alone
            shown.pop("portalSubscriptionStatus")
            shown["subscriptions"] = [{"id": event.detail["subscription"], "status": word}]
    return shown


def event_routes(store: Store) -> list[Route]:
    """The operation, and the twin's own way to have something in it."""

    def effect(kind: str, email: str, at: datetime, detail: dict[str, Any]) -> None:
        """Who left is opted out of everything, a hard bounce is a property of hers [vdoc]."""
        del at
        if kind in {"unsubscribe", "complaint"}:
            store.opt_out(email)
        elif kind == "bounce" and detail.get("type") == "hard":
            found = store.contact(email) or Contact(email)
            found.properties[_BOUNCED] = "UNKNOWN_USER"
            store.put_contact(found)

    def audience(segment: str | None) -> list[str]:
        ids = next((store.in_list(row["id"]) for row in store.lists() if row["name"] == segment), set[int]())
        return [
            c.email
            for c in store.contacts()
            if c.email and (segment is None or c.id in ids) and _BOUNCED not in c.properties and may_mail(c.email)
        ]

    def may_mail(email: str) -> bool:
        return store.status(email, DEFAULT_SUBSCRIPTION)[0] == "SUBSCRIBED" and not store.opted_out_at(email)

    store.mail.effect = effect
    ends: Callable[[Request], Any] = Events(store).events
    return [Route("/email/public/v1/events", ends), campaign_route(store.mail, audience)]
