"""Metrics and events of the Klaviyo twin [spec: GET /api/metrics, GET /api/events].

Without a source: which properties an event has (as the vendor's metrics are known to call them), and that an event
shows up where its date says, however late it comes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.twins.klaviyo_jobs import Refused, unsubscribe
from sandbox.twins.klaviyo_store import DEFAULT_LIST, Store
from sandbox.twins.klaviyo_view import page, profile_resource, refused
from sandbox.twins.mail import MailEvent, campaign_route

METRICS = {
    "delivered": "Received Email",
    "open": "Opened Email",
    "click": "Clicked Email",
    "bounce": "Bounced Email",
    "complaint": "Marked Email as Spam",
    "unsubscribe": "Unsubscribed from Email Marketing",
    "subscribe": "Subscribed to Email Marketing",
    "order": "Placed Order",
}
"""Kind of event → the metric's name; the last one is a shop's, not the vendor's."""
_CLAUSE = re.compile(r"(equals|greater-or-equal|greater-than|less-or-equal|less-than)\((\w+),([^)]*)\)")


def metric_id(name: str) -> str:
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:6].upper()


def _metric(name: str, base: str) -> dict[str, Any]:
    integration = "Shop" if name == METRICS["order"] else "Klaviyo"
    stamp = "2020-01-01T00:00:00+00:00"
    return {
        "type": "metric",
        "id": metric_id(name),
        "attributes": {"name": name, "created": stamp, "updated": stamp, "integration": {"name": integration}},
        "links": {"self": f"{base}/api/metrics/{metric_id(name)}"},
    }


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


class Events:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def metrics(self, request: Request) -> Response:
        base, query = str(request.base_url).rstrip("/"), request.query_params
        found = re.fullmatch(r'equals\(integration\.name,"([^"]*)"\)', query.get("filter", ""))
        if query.get("filter") and found is None:
            raise Refused("The filter could not be parsed.", "/filter")
        rows = [_metric(name, base) for name in METRICS.values()]
        if found:
            rows = [row for row in rows if row["attributes"]["integration"]["name"] == found[1]]
        if query.get("fields[metric]"):
            wanted = query["fields[metric]"].split(",")
            rows = [{**row, "attributes": {k: v for k, v in row["attributes"].items() if k in wanted}} for row in rows]
        return page(request, [((row["id"], ""), row) for row in rows], most=200, default=200)

    async def events(self, request: Request) -> Response:
        query, base = request.query_params, str(request.base_url).rstrip("/")
        if query.get("sort", "datetime") not in {"datetime", "timestamp"}:
            raise Refused("The twin sorts by date, ascending.", "/sort")
        is_wanted = _filter(query.get("filter", ""))
        found = [event for event in self.store.mail.events(*METRICS) if is_wanted(event)]
        rows = [((_text(event.at), event.id), self._event(event, base)) for event in found]

        def included(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
            ids = dict.fromkeys(row["relationships"]["profile"]["data"]["id"] for row in shown)
            profiles = [p for one in ids if (p := self.store.profile_by_id(one)) is not None]
            return [profile_resource(profile, query, base) for profile in profiles]

        with_profiles = included if "profile" in query.get("include", "").split(",") else None
        return page(request, sorted(rows), most=1000, default=200, included=with_profiles)

    def _event(self, event: MailEvent, base: str) -> dict[str, Any]:
        profile = self.store.profile(event.email)
        properties: dict[str, Any] = {"$message": event.mailing, "Campaign Name": event.mailing}
        if "no_address" not in event.detail:
            properties["Recipient Email Address"] = event.email
        if "type" in event.detail:
            properties["Bounce Type"] = event.detail["type"].capitalize()
        names = {"url": "URL", "is_machine": "machine_open"}
        properties |= {shown: event.detail[name] for name, shown in names.items() if name in event.detail}
        person = profile.id if profile else "01GONE"
        return {
            "type": "event",
            "id": event.id[:22],
            "attributes": {
                "timestamp": int(event.at.timestamp()),
                "event_properties": properties,
                "datetime": _text(event.at),
                "uuid": event.id,
            },
            "relationships": {
                "profile": {"data": {"type": "profile", "id": person}},
                "metric": {"data": {"type": "metric", "id": metric_id(METRICS[event.kind])}},
            },
            "links": {"self": f"{base}/api/events/{event.id[:22]}"},
        }


def _filter(text: str) -> Callable[[MailEvent], bool]:
    """[spec] metric_id: equals; datetime: greater-or-equal, greater-than, less-or-equal, less-than."""
    clauses = _CLAUSE.findall(text)
    if ",".join(f"{function}({name},{value})" for function, name, value in clauses) != text:
        raise Refused("The filter could not be parsed.", "/filter")
    tests: list[Callable[[MailEvent], bool]] = []
    for function, name, value in clauses:
        if (name, function) == ("metric_id", "equals"):
            wanted = json.loads(value)
            tests.append(lambda event, wanted=wanted: metric_id(METRICS[event.kind]) == wanted)
        elif name == "datetime" and function != "equals":
            at = value.replace("Z", "+00:00")
            compare: dict[str, Callable[[str, str], bool]] = {
                "greater-or-equal": lambda one, other: one >= other,
                "greater-than": lambda one, other: one > other,
                "less-or-equal": lambda one, other: one <= other,
                "less-than": lambda one, other: one < other,
            }
            tests.append(lambda event, at=at, holds=compare[function]: holds(_text(event.at), at))
        else:
            raise Refused(f"{function} of {name} is not allowed here.", "/filter")
    return lambda event: all(test(event) for test in tests)


def event_routes(store: Store) -> list[Route]:
    """The two operations, and the twin's own way to have something in them."""
    ends = Events(store)

    def effect(kind: str, email: str, at: datetime, detail: dict[str, Any]) -> None:
        """The vendor suppresses who left, complained or bounced hard [vdoc]."""
        del at
        is_hard = kind == "bounce" and detail.get("type") == "hard"
        profile = store.profile(email)
        if profile is not None and (kind in {"unsubscribe", "complaint"} or is_hard):
            reasons = {"unsubscribe": "UNSUBSCRIBE", "complaint": "SPAM_COMPLAINT", "bounce": "HARD_BOUNCE"}
            unsubscribe(profile, reasons[kind])
            store.put_profile(profile)

    def audience(segment: str | None) -> list[str]:
        list_id = DEFAULT_LIST if segment is None else store.list_named(segment)
        inside = set() if list_id is None else store.inside(list_id)
        return [p.email for p in store.profiles() if p.email and p.email in inside and not p.suppressions]

    store.mail.effect = effect

    def route(path: str, method: Callable[[Request], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return await method(request)
            except Refused as error:
                return refused(error)

        return Route(path, endpoint)

    return [
        route("/api/metrics", ends.metrics),
        route("/api/events", ends.events),
        campaign_route(store.mail, audience),
    ]
