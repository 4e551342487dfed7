"""A local, **simulated** Klaviyo: the part of the API (revision 2026-07-15) that a sync needs, over real HTTP.

    python -m sandbox.twins.klaviyo --port 0 --state FILE --api-key KEY

prints one JSON line with its URL. It is not Klaviyo, sends no mail and answers on 127.0.0.1 only. Paths under
`/__twin__/` are the twin's own (counters, faults): the vendor has nothing like them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.twins import klaviyo_jobs as rules
from sandbox.twins.door import Door, carries
from sandbox.twins.faults import App, Faults
from sandbox.twins.klaviyo_event_writes import EventEndpoints
from sandbox.twins.klaviyo_events import event_routes
from sandbox.twins.klaviyo_holdings import KlaviyoHoldings
from sandbox.twins.klaviyo_jobs import Refused, Worker, check_email
from sandbox.twins.klaviyo_rates import MAX_LISTS_A_DAY, VENDOR_RATES, Rates
from sandbox.twins.klaviyo_store import DEFAULT_LIST, Store
from sandbox.twins.klaviyo_view import (
    cursor_of,
    document,
    error_resource,
    failed,
    filtered_statuses,
    job_resource,
    list_resource,
    not_found,
    page,
    profile_resource,
    profiles_of,
    refused,
)
from sandbox.twins.serve import make_parser, serve

PROFILES = "/data/attributes/profiles/data"


def _data(body: object, kind: str) -> dict[str, Any]:
    """`data` of a JSON:API body of that type."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or data.get("type") != kind:
        raise Refused(f"data of type {kind} is needed.", "/data/type")
    return data


def _profiles(data: dict[str, Any], most: int) -> list[dict[str, Any]]:
    rows = (data["attributes"].get("profiles") or {}).get("data")
    if not isinstance(rows, list) or not rows:
        raise Refused("Profiles are needed.", PROFILES)
    if len(rows) > most:
        raise Refused(f"At most {most} profiles are taken.", PROFILES)  # [unv] wording
    return rows


class Endpoints(EventEndpoints):
    """Each method answers one operation of the vendor's specification."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self.store, self.worker = store, worker

    @staticmethod
    def _base(request: Request) -> str:
        return str(request.base_url).rstrip("/")

    async def profiles(self, request: Request) -> Response:
        query, base = request.query_params, self._base(request)
        found = profiles_of(request, self.store, most=100, default=20)
        return page(request, [(key, profile_resource(p, query, base)) for key, p in found], most=100, default=20)

    async def import_one(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > rules.MAX_PROFILE:
            raise Refused("The payload is too large.", "/data", 413)  # [unv] status
        data = _data(json.loads(body), "profile")
        carries(request, 1)
        data["attributes"]["email"] = check_email(data["attributes"].get("email"), "/data")
        if data["attributes"]["email"].endswith(".invalid"):
            raise Refused("An invalid email address was given.", "/data/attributes/email")  # [unv]
        profile, is_new = self.worker.write_profile(data, nulls_clear=True)
        resource = profile_resource(profile, request.query_params, self._base(request))
        return document({"data": resource}, 201 if is_new else 200)

    async def import_many(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > rules.MAX_BODY:
            raise Refused("The payload is too large.", "/data", 413)  # [unv] status
        data = _data(json.loads(body), "profile-bulk-import-job")
        rows = _profiles(data, rules.MAX_IMPORT)
        carries(request, len(rows))
        for at, row in enumerate(rows):
            pointer = f"{PROFILES}/{at}"
            if len(json.dumps(row, ensure_ascii=False).encode()) > rules.MAX_PROFILE * 1.1:  # its spaces apart
                raise Refused("A profile is too large.", pointer)  # [unv] wording
            row["attributes"]["email"] = check_email(row["attributes"].get("email"), pointer)
        lists = ((data.get("relationships") or {}).get("lists") or {}).get("data") or []
        job = self.worker.accept("import", {"profiles": rows, "lists": [one["id"] for one in lists]}, len(rows))
        return document({"data": job_resource(job, self._base(request))}, 202)

    async def jobs(self, request: Request) -> Response:
        """[spec] filter: `any` and `equals` of `status`; sort: `created_at`, newest first with a minus."""
        wanted = filtered_statuses(request.query_params.get("filter"))
        found = [job for job in self.store.import_jobs() if wanted is None or job.status in wanted]
        if request.query_params.get("sort") == "-created_at":
            found.reverse()
        base = self._base(request)
        rows = [((f"{at:06}", ""), job_resource(job, base)) for at, job in enumerate(found)]
        return page(request, rows, most=100, default=20)

    async def job(self, request: Request) -> Response:
        found = self.store.job(request.path_params["job_id"])
        if found is None:
            return not_found("profile-bulk-import-job")
        return document({"data": job_resource(found, self._base(request))})

    async def job_profiles(self, request: Request) -> Response:
        found = self.store.job(request.path_params["job_id"])
        if found is None:
            return not_found("profile-bulk-import-job")
        base = self._base(request)
        people = self.store.profiles_after("id", cursor_of(request), 101, ("id", "in", found.done))
        rows = [(key, profile_resource(p, request.query_params, base)) for key, p in people]
        return page(request, rows, most=100, default=20)

    async def job_errors(self, request: Request) -> Response:
        found = self.store.job(request.path_params["job_id"])
        if found is None:
            return not_found("profile-bulk-import-job")
        base = self._base(request)
        rows = [((f"{at:06}", ""), error_resource(at, e, base, found.id)) for at, e in enumerate(found.errors)]
        return page(request, rows, most=100, default=20)

    async def subscribe(self, request: Request) -> Response:
        data = _data(await request.json(), "profile-subscription-bulk-create-job")
        emails = self._consents(data, "SUBSCRIBED", rules.MAX_SUBSCRIBE)
        carries(request, len(emails))
        is_historical = bool(data["attributes"].get("historical_import"))
        for at, row in enumerate(data["attributes"]["profiles"]["data"]):
            marketing = row["attributes"]["subscriptions"]["email"]["marketing"]
            if is_historical != bool(marketing.get("consented_at")):  # [spec] needed with the flag, an error without
                raise Refused("consented_at goes with historical_import.", f"{PROFILES}/{at}")
        body = {"emails": emails, "list": self._list_of(data), "historical_import": is_historical}
        self.worker.accept("subscribe", body, len(emails))
        return Response(status_code=202)

    async def unsubscribe(self, request: Request) -> Response:
        data = _data(await request.json(), "profile-subscription-bulk-delete-job")
        emails = self._consents(data, "UNSUBSCRIBED", rules.MAX_UNSUBSCRIBE)
        carries(request, len(emails))
        self.worker.accept("unsubscribe", {"emails": emails, "list": self._list_of(data)}, len(emails))
        return Response(status_code=202)

    def _consents(self, data: dict[str, Any], consent: str, most: int) -> list[str]:
        emails: list[str] = []
        for at, row in enumerate(_profiles(data, most)):
            marketing = row["attributes"]["subscriptions"].get("email", {}).get("marketing", {})
            if marketing.get("consent") != consent:
                raise Refused(f"The consent must be {consent}.", f"{PROFILES}/{at}/attributes/subscriptions")
            emails.append(check_email(row["attributes"].get("email"), f"{PROFILES}/{at}"))
        return emails

    def _list_of(self, data: dict[str, Any]) -> str | None:
        given = ((data.get("relationships") or {}).get("list") or {}).get("data")
        if given is None:
            return None
        if self.store.list_row(given["id"]) is None:
            raise Refused("A list with this id does not exist.", "/data/relationships/list", 404, "not_found")
        return given["id"]

    async def lists(self, request: Request) -> Response:
        base, query = self._base(request), request.query_params
        rows = self.store.lists()
        keyed = [((f"{row['seq']:06}", ""), list_resource(row, query, base)) for row in rows]
        return page(request, keyed, most=10, default=10)  # [spec] "Returns a maximum of 10 results per page"

    async def add_list(self, request: Request) -> Response:
        data = _data(await request.json(), "list")
        name = data["attributes"].get("name")
        if not name:
            raise Refused("A name is needed.", "/data/attributes/name")
        if self.store.counters().get("lists_created", 0) >= MAX_LISTS_A_DAY:
            return throttled(86_400)
        self.store.count("lists_created")
        list_id = self.store.add_list(name, data["attributes"].get("opt_in_process") or "single_opt_in")
        row = self.store.list_row(list_id)
        assert row is not None
        return document({"data": list_resource(row, {}, self._base(request))}, 201)

    async def one_list(self, request: Request) -> Response:
        found = self.store.list_row(request.path_params["list_id"])
        if found is None:
            return not_found("list")
        return document({"data": list_resource(found, request.query_params, self._base(request))})

    async def change_list(self, request: Request) -> Response:
        """[spec] Adding leaves "their subscription status" unchanged, and so does removing."""
        list_id = request.path_params["list_id"]
        if self.store.list_row(list_id) is None:
            return not_found("list")
        ids = [row["id"] for row in (await request.json())["data"]]
        carries(request, len(ids))
        if len(ids) > rules.MAX_LIST_CHANGE:
            raise Refused(f"At most {rules.MAX_LIST_CHANGE} profiles are taken.")
        with self.store:
            if any(self.store.profile_by_id(one) is None for one in ids):
                return not_found("profile")  # [unv] what an id that is gone comes to
            for one in ids:
                if request.method == "POST":
                    self.store.put_in_list(list_id, one)
                else:
                    self.store.take_out_of_list(list_id, one)
        return Response(status_code=204)


def throttled(seconds: int) -> Response:
    """[vdoc] 429 with Retry-After."""
    answer = refused(
        Refused(
            f"Request was throttled. Expected available in {seconds} seconds.",  # [2nd] wording
            "/data/", 429, "throttled", "Request was throttled.",
        )
    )  # fmt: skip
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _routes(ends: Endpoints) -> list[Route]:
    def route(path: str, **methods: Callable[[Request], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return await methods[request.method](request)
            except Refused as error:
                return refused(error)
            except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError):
                return refused(Refused("The body is not what this operation takes."))  # [unv] wording

        return Route(f"/api{path}", endpoint, methods=list(methods))

    job = "/profile-bulk-import-jobs/{job_id}"
    return [
        route("/profiles", GET=ends.profiles),
        route("/profile-import", POST=ends.import_one),
        route("/profile-bulk-import-jobs", GET=ends.jobs, POST=ends.import_many),
        route(job, GET=ends.job),
        route(job + "/profiles", GET=ends.job_profiles),
        route(job + "/import-errors", GET=ends.job_errors),
        route("/profile-subscription-bulk-create-jobs", POST=ends.subscribe),
        route("/profile-subscription-bulk-delete-jobs", POST=ends.unsubscribe),
        route("/events", POST=ends.create_event),
        route("/event-bulk-create-jobs", POST=ends.create_events),
        route("/lists", GET=ends.lists, POST=ends.add_list),
        route("/lists/{list_id}", GET=ends.one_list),
        route("/lists/{list_id}/relationships/profiles", POST=ends.change_list, DELETE=ends.change_list),
    ]


class KlaviyoDoor(Door):
    has_empty_403 = True

    def __init__(self, store: Store, worker: Worker, faults: Faults, api_key: str, rates: Rates) -> None:
        routes = [*_routes(Endpoints(store, worker)), *event_routes(store)]
        super().__init__(routes, store, faults, api_key, KlaviyoHoldings(store))
        self.worker, self.rates = worker, rates

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        if headers.get("authorization") != f"Klaviyo-API-Key {self.api_key}":
            wrong = "Incorrect authentication credentials."  # [unv] wording
            return refused(Refused(wrong, "/data/", 401, "authentication_failed", wrong))
        if not headers.get("revision"):  # [spec] the header is required
            return refused(Refused("The revision header is needed.", "/data/", 400))
        return None

    def admit(self, method: str, path: str, *, is_busy: bool) -> tuple[Response | None, Mapping[str, str]]:
        shown, wait = self.rates.take(method, path)
        wait = 1 if is_busy else wait
        return (None if wait is None else throttled(wait)), shown

    def failed(self) -> Response:
        return failed()

    def not_found(self) -> Response:
        return not_found("resource")

    def begin(self, method: str) -> None:
        if method == "GET":
            self.worker.tick()


def create_app(
    state: Store,
    faults: Faults | None = None,
    api_key: str = "pk_twin",
    *,
    polls: int = 1,
    rates: Mapping[str, tuple[int, int]] = VENDOR_RATES,
    clock: Callable[[], float] = time.time,
) -> KlaviyoDoor:
    """The twin as an ASGI application over `state`; `faults` may be shared with a test.

    `polls`: readings that a job takes; `rates`: operation → requests a second and a minute, by `clock`.
    """
    return KlaviyoDoor(state, Worker(state, polls), faults or Faults(), api_key, Rates(rates, clock))


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("Klaviyo", "pk_twin")
    parser.add_argument("--list-id", default=DEFAULT_LIST)
    parser.add_argument("--double-opt-in", action="store_true", help="the list asks everybody to confirm")
    parser.add_argument("--polls", type=int, default=1, help="how many reading requests a job takes")
    options = parser.parse_args(arguments)

    def make_app() -> App:
        store = Store(options.state, options.list_id, double_opt_in=options.double_opt_in)
        return create_app(store, api_key=options.api_key, polls=options.polls)

    serve(options, make_app, "api", list_id=options.list_id)


if __name__ == "__main__":
    main()
