"""A local, **simulated** HubSpot: the part of its CRM and subscription APIs that a sync needs, over real HTTP.

    python -m sandbox.twins.hubspot --port 0 --state FILE --api-key TOKEN

prints one JSON line with its URL. It is not HubSpot, sends no mail and answers on 127.0.0.1 only. Paths under
`/__twin__/` are the twin's own (counters, faults): the vendor has nothing like them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.twins import hubspot_rules as rules
from sandbox.twins.door import Door, bearer_is, carries
from sandbox.twins.faults import App, Faults
from sandbox.twins.hubspot_contacts import ContactEndpoints
from sandbox.twins.hubspot_events import event_routes
from sandbox.twins.hubspot_holdings import HubSpotHoldings
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION, Store
from sandbox.twins.serve import make_parser, serve

CONTACT_TYPE = "0-1"


class Endpoints(ContactEndpoints):
    """Properties and manual lists; contacts and subscriptions are in `hubspot_contacts`."""

    async def properties(self, _: Request) -> Response:
        return JSONResponse({"results": list(self.store.properties().values())})

    async def add_properties(self, request: Request) -> Response:
        """All or none [unv]."""
        inputs = (await request.json()).get("inputs") or []
        for given in inputs:
            flaw = rules.flaw_of_property(self.store, given)
            if flaw is not None:
                return rules.error(*flaw)
        with self.store:
            made = [self.store.add_property(given) for given in inputs]
        return self._batch(made, [], 201)

    async def groups(self, _: Request) -> Response:
        rows = self.store.groups().items()
        return JSONResponse({"results": [_group(name, label) for name, label in rows]})

    async def add_group(self, request: Request) -> Response:
        body = await request.json()
        name, label = body.get("name"), body.get("label")
        if not name or not label:  # [sdk]
            return rules.error(400, "VALIDATION_ERROR", "name and label are needed")
        if name in self.store.groups():
            return rules.error(409, "CONFLICT", f"A property group named '{name}' already exists")  # [unv] wording
        self.store.add_group(name, label)
        return JSONResponse(_group(name, label), 201)

    async def search_lists(self, request: Request) -> Response:
        body = await request.json()
        offset, size = int(body.get("offset", 0)), int(body.get("count", 20))
        if size > rules.MAX_LIST_PAGE:
            return rules.error(400, "VALIDATION_ERROR", f"count is at most {rules.MAX_LIST_PAGE}")
        query = str(body.get("query") or "").lower()
        rows = [row for row in self.store.lists() if query in row["name"].lower()]
        page = [{**self._list(row), "additionalProperties": {}} for row in rows[offset : offset + size]]
        following = offset + len(page)
        return JSONResponse(
            {"lists": page, "offset": following, "hasMore": following < len(rows), "total": len(rows)}
        )  # [sdk]

    def _list(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "listId": str(row["id"]),
            "listVersion": 1,
            "name": row["name"],
            "objectTypeId": CONTACT_TYPE,
            "processingStatus": "COMPLETE",
            "processingType": "MANUAL",
            "createdAt": row["created_at"],
        }

    async def add_list(self, request: Request) -> Response:
        body = await request.json()
        name = body.get("name")
        if not name or body.get("processingType") != "MANUAL" or body.get("objectTypeId") != CONTACT_TYPE:
            return rules.error(400, "VALIDATION_ERROR", "The twin knows manual lists of contacts alone.")
        if any(row["name"] == name for row in self.store.lists()):
            return rules.error(400, "VALIDATION_ERROR", f"List with name {name} already exists")  # [unv] wording
        list_id = self.store.add_list(name)
        return JSONResponse({"list": self._list(next(r for r in self.store.lists() if r["id"] == list_id))})

    async def change_list(self, request: Request) -> Response:
        list_id = request.path_params["list_id"]
        body = await request.json()
        if "recordIdsToAdd" not in body or "recordIdsToRemove" not in body:  # [sdk] both are required
            return rules.error(400, "VALIDATION_ERROR", "recordIdsToAdd and recordIdsToRemove are needed")
        if not any(row["id"] == list_id for row in self.store.lists()):
            return rules.not_found()
        to_add, to_remove = body["recordIdsToAdd"], body["recordIdsToRemove"]
        carries(request, len(to_add) + len(to_remove))
        with self.store:
            known = self.store.known_ids([*to_add, *to_remove])
            inside = {str(one) for one in self.store.in_list(list_id)}
            added = [one for one in to_add if one in known and one not in inside]
            removed = [one for one in to_remove if one in inside]
            for one, is_inside in [*((a, True) for a in added), *((r, False) for r in removed)]:
                self.store.set_in_list(list_id, int(one), is_inside)
        missing = [one for one in [*to_add, *to_remove] if one not in known]
        return JSONResponse({"recordsIdsAdded": added, "recordIdsRemoved": removed, "recordIdsMissing": missing})

    async def send_event(self, request: Request) -> Response:
        """Kept as often as it comes: nothing says that `uuid` makes one of two [unv]."""
        body = await request.json()
        name, contact_id = str(body.get("eventName") or ""), str(body.get("objectId") or "")
        if not rules.is_event_name(name):
            return rules.error(400, "VALIDATION_ERROR", f"There is no event {name}.")  # [unv] wording
        if contact_id not in self.store.known_ids([contact_id]):  # [unv] what an unknown id comes to
            return rules.error(400, "OBJECT_NOT_FOUND", f"There is no contact {contact_id}.")
        occurred_at = str(body.get("occurredAt") or self.store.now())
        self.store.events.add(contact_id, name, occurred_at, body.get("properties") or {}, body.get("uuid"))
        return Response(status_code=204)


def _group(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}  # [sdk]


def _routes(ends: Endpoints) -> list[Route]:
    def route(path: str, **methods: Callable[[Request], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            method = methods.get("GET" if request.method == "HEAD" else request.method)
            if method is None:
                return rules.error(405, "METHOD_NOT_ALLOWED", "method not allowed")
            try:
                return await method(request)
            except (json.JSONDecodeError, UnicodeDecodeError):
                return rules.error(400, "VALIDATION_ERROR", "Invalid input JSON")

        return Route(path, endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    contacts, statuses = "/crm/v3/objects/contacts", "/communication-preferences/v4/statuses/batch"
    return [
        route(contacts, GET=ends.contacts),
        route(f"{contacts}/search", POST=ends.search),
        route(f"{contacts}/batch/read", POST=ends.read),
        route(f"{contacts}/batch/upsert", POST=ends.upsert),
        route("/crm/v3/properties/contacts", GET=ends.properties),
        route("/crm/v3/properties/contacts/batch/create", POST=ends.add_properties),
        route("/crm/v3/properties/contacts/groups", GET=ends.groups, POST=ends.add_group),
        route("/crm/v3/lists", POST=ends.add_list),
        route("/crm/v3/lists/search", POST=ends.search_lists),
        route("/crm/v3/lists/{list_id:int}/memberships/add-and-remove", PUT=ends.change_list),
        route("/events/v3/send", POST=ends.send_event),
        route("/communication-preferences/v4/definitions", GET=ends.definitions),
        route(f"{statuses}/read", POST=ends.statuses),
        route(f"{statuses}/write", POST=ends.write_statuses),
        route(f"{statuses}/unsubscribe-all", POST=ends.unsubscribe_all),
        route(f"{statuses}/unsubscribe-all/read", POST=ends.wide_statuses),
    ]


@dataclass
class Rates:
    """Requests per window and day, with the headers that are recorded; a search has a window of its own, and of the
    headers the day's alone."""

    per_10_seconds: int = 100
    searches_per_second: int = 5
    per_day: int = 250_000
    used_today: int = 0
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def take(self, is_search: bool, now: float) -> tuple[str | None, dict[str, str]]:
        """(the policy that refuses, headers)."""
        most, seconds = (self.searches_per_second, 1) if is_search else (self.per_10_seconds, 10)
        name = "SECONDLY" if is_search else "TEN_SECONDLY_ROLLING"
        began, n = self._windows.get(name, (now, 0))
        if now >= began + seconds:
            began, n = now, 0
        policy = "DAILY" if self.used_today >= self.per_day else name if n >= most else None
        if policy is None:
            self.used_today += 1
            n += 1
        self._windows[name] = (began, n)
        left = max(0, self.per_day - self.used_today)
        headers = {"x-hubspot-ratelimit-daily": str(self.per_day), "x-hubspot-ratelimit-daily-remaining": str(left)}
        if not is_search and policy is None:
            headers |= {
                "x-hubspot-ratelimit-interval-milliseconds": "10000",
                "x-hubspot-ratelimit-max": str(most),
                "x-hubspot-ratelimit-remaining": str(most - n),
            }
        return policy, headers


class HubSpotDoor(Door):
    def __init__(self, ends: Endpoints, faults: Faults, token: str) -> None:
        routes = [*_routes(ends), *event_routes(ends.store)]
        super().__init__(routes, ends.store, faults, token, HubSpotHoldings(ends.store))
        self.ends = ends
        self.rates: Rates | None = None
        """Off by default: no test waits."""

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        if bearer_is(headers, self.api_key):
            return None
        message = "Authentication credentials not found."  # [unv] wording
        return rules.error(401, "INVALID_AUTHENTICATION", message)

    def admit(self, method: str, path: str, *, is_busy: bool) -> tuple[Response | None, Mapping[str, str]]:
        policy, headers = None, {}
        if self.rates:
            policy, headers = self.rates.take(path.endswith("/contacts/search"), self.store.clock())
        if not policy and not is_busy:
            return None, headers
        policy = policy or "SECONDLY"
        message = f"You have reached your {policy.lower()} limit."  # [rec]
        if policy == "SECONDLY":
            busy = rules.error(429, "RATE_LIMITS", message)
        else:
            busy = rules.error(429, "RATE_LIMITS", message, policyName=policy)  # [vdoc]
        busy.headers.update(headers)
        return busy, headers

    def failed(self) -> Response:
        return rules.error(500, "INTERNAL_ERROR", "internal error")

    def not_found(self) -> Response:
        return rules.not_found()

    def is_read(self, method: str, path: str) -> bool:
        return method == "GET" or path.endswith(("/search", "/read"))


def create_app(state: Store, faults: Faults | None = None, api_key: str = "pat-twin") -> HubSpotDoor:
    """The twin as an ASGI application over `state`; `faults` may be shared with a test."""
    return HubSpotDoor(Endpoints(state), faults or Faults(), api_key)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("HubSpot", "pat-twin")
    parser.add_argument("--search-lag", type=int, default=0, help="requests until a search shows a change")
    options = parser.parse_args(arguments)

    def make_app() -> App:
        return create_app(Store(options.state, search_lag=options.search_lag), api_key=options.api_key)

    serve(options, make_app, "", subscription_id=str(DEFAULT_SUBSCRIPTION))


if __name__ == "__main__":
    main()
