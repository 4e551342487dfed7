"""A local, **simulated** SendGrid: the part of its Marketing and Suppressions APIs that a sync needs, over real HTTP.

    python -m sandbox.twins.sendgrid --port 0 --state FILE --api-key KEY

prints one JSON line with its URL. It is not SendGrid, sends no mail and answers on 127.0.0.1 only. Paths under
`/__twin__/` are the twin's own (counters, faults, troubles of jobs), those under `/__files__/` stand for the links to
files that the vendor hands out: they need no key, and refuse one.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.twins import sendgrid_rules as rules
from sandbox.twins.door import Door, bearer_is, carries
from sandbox.twins.faults import App, Faults
from sandbox.twins.mail import campaign_route
from sandbox.twins.sendgrid_holdings import SendGridHoldings
from sandbox.twins.sendgrid_store import Store
from sandbox.twins.serve import make_parser, serve

Trouble = Literal["failed", "forgotten", "late", "no_file", "no_host", "other_file", "odd_file"]
"""What happens to a job: it fails as a whole; it ends, and nobody knows it any more; nobody knows it yet when it is
looked at first; the file of its errors is gone, or
its host, or it has another form, or cannot be read."""


def refused(status: int, *errors: dict[str, str]) -> JSONResponse:
    return JSONResponse({"errors": list(errors)}, status)  # [spec] [rec]


def not_found(what: str = "not found") -> JSONResponse:
    return refused(404, {"message": what})


class Endpoints:
    """Each method answers one operation of the vendor's specifications."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.troubles: deque[Trouble] = deque()
        """For the next jobs, one each."""

    def _add_job(self, kind: str, payload: dict[str, Any]) -> JSONResponse:
        trouble = self.troubles.popleft() if self.troubles else None
        return JSONResponse({"job_id": self.store.add_job(kind, payload, trouble)}, 202)  # [rec]

    # contacts

    async def upsert(self, request: Request) -> Response:
        raw = await request.body()
        if len(raw) > rules.MAX_BYTES:
            return refused(413, {"message": "at most 6 MB"})  # [spec] the limit; status and wording [unv]
        body = json.loads(raw)
        flaws = rules.flaws_of_upsert(self.store, body)
        if not flaws:
            carries(request, len(body["contacts"]))
        return refused(400, *flaws) if flaws else self._add_job("upsert", body)

    async def count(self, _: Request) -> Response:
        n = self.store.count_contacts()
        return JSONResponse({"contact_count": n, "billable_count": n})

    async def look_up(self, request: Request) -> Response:
        wanted = (await request.json()).get("identifiers") or []
        carries(request, len(wanted))
        if request.path_params["kind"] != "email" or not 1 <= len(wanted) <= rules.MAX_LOOKUP:
            return refused(400, {"message": f"1 to {rules.MAX_LOOKUP} addresses are needed"})
        if not all(rules.is_email(email) for email in wanted):  # [spec] "if any searched addresses are invalid"
            return JSONResponse({"message": "an address is invalid"}, 400)
        found = {email: self.store.contact(email) for email in wanted}
        if not any(found.values()):
            return JSONResponse({"message": "no contacts found"}, 404)  # [spec]
        result = {
            email: {"contact": rules.shown(self.store, one)} if one else {"error": "contact not found"}
            for email, one in found.items()
        }
        return JSONResponse({"result": result})

    async def job(self, request: Request) -> Response:
        job = self.store.job(request.path_params["id"])
        if job is None:
            return not_found()
        if job.status == "pending":
            self.store.looked_at(job)
            if job.trouble == "late" and job.looks_left == self.store.job_looks:
                return not_found()  # [unv]
            if job.looks_left <= 0:
                rules.end_jobs(self.store, job.seq)
                job = self.store.job(job.id) or job
        if job.trouble == "forgotten" and job.status != "pending":
            return not_found()
        results = dict(job.results)
        if "errors_file" in results:
            host = "http://127.0.0.1:9/" if job.trouble == "no_host" else request.base_url
            results["errors_url"] = f"{host}__files__/{results.pop('errors_file')}"
        shown = {"id": job.id, "status": job.status, "job_type": job.kind, "results": results}
        times = {"started_at": job.started_at, **({"finished_at": job.finished_at} if job.finished_at else {})}
        return JSONResponse({**shown, **times})

    # exports

    async def start_export(self, request: Request) -> Response:
        raw = await request.body()
        file_type = (json.loads(raw) if raw else {}).get("file_type", "csv")
        export_id = self.store.add_export(file_type)
        return JSONResponse({"id": export_id, "_metadata": {"self": f"{request.url}/{export_id}"}}, 202)

    async def export(self, request: Request) -> Response:
        export_id = request.path_params["id"]
        export = self.store.export(export_id)
        if export is None:
            return not_found()
        if export["files"] is None and export["looks_left"] <= 0:
            files = rules.export_files(self.store, export["file_type"])  # [unv] as of its end
            self.store.end_export(export_id, [self.store.add_file(content) for content in files])
            export = self.store.export(export_id) or export
        self.store.looked_at_export(export_id)
        shown = {
            "id": export_id,
            "status": "pending" if export["files"] is None else "ready",
            "created_at": export["created_at"],
            "updated_at": export["created_at"],
            "expires_at": export["created_at"],
        }
        if export["files"] is not None:
            shown["urls"] = [f"{request.base_url}__files__/{token}" for token in export["files"]]
            shown["contact_count"] = self.store.count_contacts()
        return JSONResponse(shown)

    async def file(self, request: Request) -> Response:
        """Behind a link that is signed itself: the store of objects behind it refuses a second kind of credentials."""
        content = self.store.file(request.path_params["token"])
        if "authorization" in request.headers:
            return Response("Only one auth mechanism allowed", 400)
        return Response(status_code=403) if content is None else Response(content, media_type="binary/octet-stream")

    # lists

    async def lists(self, request: Request) -> Response:
        size = int(request.query_params.get("page_size", 100))  # [spec]
        at = int(request.query_params.get("page_token") or 0)
        found = self.store.lists()
        here = str(request.url.replace(query=""))
        metadata: dict[str, Any] = {"self": here, "count": len(found)}
        if at + size < len(found):
            metadata["next"] = f"{here}?page_size={size}&page_token={at + size}"
        rows = [{**row, "_metadata": {"self": f"{here}/{row['id']}"}} for row in found[at : at + size]]
        return JSONResponse({"result": rows, "_metadata": metadata})

    async def add_list(self, request: Request) -> Response:
        name = (await request.json()).get("name")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:  # [spec]
            return refused(400, {"field": "name", "message": "1 to 100 characters are needed"})
        if any(row["name"] == name for row in self.store.lists()):
            return refused(400, {"field": "name", "message": "a list of this name already exists"})  # [unv]
        list_id = self.store.add_list(name)
        row = {"name": name, "id": list_id, "contact_count": 0, "_metadata": {"self": f"{request.url}/{list_id}"}}
        return JSONResponse(row, 201)  # [rec]

    async def remove(self, request: Request) -> Response:
        list_id, ids = request.path_params["id"], request.query_params.get("contact_ids", "")
        if len(str(request.url)) > rules.MAX_URL:
            return JSONResponse({"message": "URI too long"}, 414)
        if not ids:
            return JSONResponse({"message": "contact_ids is needed"}, 400)
        contact_ids = ids.split(",")
        carries(request, len(contact_ids))
        # [spec] "The specified list ID does not exist or one or more contact IDs do not exist."
        if not self.store.has_list(list_id) or not self.store.has_contacts(contact_ids):
            return not_found()
        return self._add_job("delete", {"list_id": list_id, "contact_ids": contact_ids})

    # fields

    async def fields(self, request: Request) -> Response:
        rows = {"custom_fields": self.store.fields(), "reserved_fields": rules.reserved_fields()}
        return JSONResponse({**rows, "_metadata": {"self": str(request.url)}})

    async def add_field(self, request: Request) -> Response:
        body = await request.json()
        flaws = rules.flaws_of_field(self.store, body.get("name"), body.get("field_type"))
        if flaws:
            return refused(400, *flaws)
        return JSONResponse(self.store.add_field(body["name"], body["field_type"]))

    # suppressions

    async def unsubscribe(self, request: Request) -> Response:
        emails = (await request.json()).get("recipient_emails")
        if not isinstance(emails, list) or not emails or not all(rules.is_email(email) for email in emails):
            return refused(400, {"field": "recipient_emails", "message": "an address is invalid"})  # [unv]
        carries(request, len(emails))
        with self.store:
            for email in emails:
                self.store.suppress("unsubscribes", email)
        return JSONResponse({"recipient_emails": emails}, 201)  # [spec]

    async def suppressions(self, request: Request) -> Response:
        kind, query = request.path_params["kind"], request.query_params
        if kind not in {"unsubscribes", "spam_reports", "bounces", "blocks", "invalid_emails"}:
            return not_found()
        limit, offset = int(query.get("limit", 500)), int(query.get("offset", 0))  # [spec] at most 500 a page
        times = [int(query[name]) if name in query else None for name in ("start_time", "end_time")]  # [spec] inclusive
        rows = self.store.suppressions(kind, *times, offset=offset, limit=min(limit, 500))
        carries(request, len(rows))
        extra: dict[str, tuple[str, ...]] = {
            "bounces": ("reason", "status"),
            "blocks": ("reason", "status"),
            "invalid_emails": ("reason",),
        }
        known = {
            "reason": lambda row: row["reason"],
            "status": lambda _: "4.0.0" if kind == "blocks" else "5.1.1",
            "ip": lambda _: "10.63.202.100",
        }
        more = ("ip",) if kind == "spam_reports" else extra.get(kind, ())  # [spec]
        return JSONResponse(
            [{"created": r["created"], "email": r["email"], **{name: known[name](r) for name in more}} for r in rows]
        )

    async def group_suppressions(self, _: Request) -> Response:
        """All of them, always: the operation has no parameters [spec]."""
        rows = self.store.suppressions("groups")
        return JSONResponse(
            [{"email": r["email"], "group_id": 10, "group_name": "News", "created_at": r["created"]} for r in rows]
        )


def _routes(ends: Endpoints) -> list[Route]:
    def route(path: str, **methods: Callable[[Request], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            method = methods.get("GET" if request.method == "HEAD" else request.method)
            if method is None:
                return refused(405, {"message": "method not allowed"})
            try:
                return await method(request)
            except (json.JSONDecodeError, UnicodeDecodeError):
                return refused(400, {"message": "request body is invalid"})

        return Route(f"/v3{path}", endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    return [
        route("/marketing/contacts", PUT=ends.upsert),
        route("/marketing/contacts/count", GET=ends.count),
        route("/marketing/contacts/search/identifiers/{kind}", POST=ends.look_up),
        route("/marketing/contacts/imports/{id}", GET=ends.job),
        route("/marketing/contacts/exports", POST=ends.start_export),
        route("/marketing/contacts/exports/{id}", GET=ends.export),
        route("/marketing/lists", GET=ends.lists, POST=ends.add_list),
        route("/marketing/lists/{id}/contacts", DELETE=ends.remove),
        route("/marketing/field_definitions", GET=ends.fields, POST=ends.add_field),
        route("/asm/suppressions/global", POST=ends.unsubscribe),
        route("/suppression/{kind}", GET=ends.suppressions),
        route("/asm/suppressions", GET=ends.group_suppressions),
        Route("/__files__/{token}", ends.file),
    ]


@dataclass
class Rate:
    """At most `limit` requests per path and window; headers as recorded (seconds to go) or as the vendor's page says
    (an instant)."""

    limit: int
    seconds: int = 60
    resets: Literal["seconds", "epoch"] = "seconds"
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def take(self, what: str, now: float) -> tuple[bool, dict[str, str]]:
        """(may it go, headers)."""
        began, n = self._windows.get(what, (now, 0))
        if now >= began + self.seconds:
            began, n = now, 0
        may_go = n < self.limit
        self._windows[what] = (began, n + may_go)
        left = began + self.seconds - now
        reset = round(began + self.seconds) if self.resets == "epoch" else round(left)
        values = {"limit": self.limit, "remaining": max(0, self.limit - n - 1), "reset": reset}
        return may_go, {f"x-ratelimit-{name}": str(value) for name, value in values.items()}  # [rec]


class SendGridDoor(Door):
    def __init__(self, ends: Endpoints, faults: Faults, api_key: str) -> None:
        own = [Route("/__twin__/troubles", self._set_troubles, methods=["POST"])]
        routes = [*_routes(ends), campaign_route(ends.store.mail, ends.store.mailable)]
        super().__init__(routes, ends.store, faults, api_key, SendGridHoldings(ends.store), own)
        self.troubles = ends.troubles
        self.rate: Rate | None = None
        """Off by default: no test waits."""

    def is_vendors(self, path: str) -> bool:
        return path.startswith("/v3/")

    def every_answer(self) -> Mapping[str, str]:
        return {"date": formatdate(self.store.clock(), usegmt=True)}

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        # [spec] shape; wording [unv]
        return None if bearer_is(headers, self.api_key) else refused(401, {"message": "authorization required"})

    def admit(self, method: str, path: str, *, is_busy: bool) -> tuple[Response | None, Mapping[str, str]]:
        may_go, headers = True, {}
        if self.rate:
            may_go, headers = self.rate.take(f"{method} {re.sub('[0-9a-f-]{36}', '{id}', path)}", self.store.clock())
        if may_go and not is_busy:
            return None, headers
        busy = refused(429, {"message": "too many requests"})  # [unv] wording
        busy.headers.update(headers or {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "21"})  # [rec]
        return busy, headers

    def failed(self) -> Response:
        return refused(500, {"message": "internal error"})

    def not_found(self) -> Response:
        return not_found()

    def is_read(self, method: str, path: str) -> bool:
        return method == "GET" or "/search/" in path or path.endswith("/exports")

    async def _set_troubles(self, request: Request) -> Response:
        self.troubles.extend(await request.json())
        return JSONResponse({"simulated": True, "waiting": len(self.troubles)})


def create_app(state: Store, faults: Faults | None = None, api_key: str = "SG.twin") -> SendGridDoor:
    """The twin as an ASGI application over `state`; `faults` may be shared with a test."""
    return SendGridDoor(Endpoints(state), faults or Faults(), api_key)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("SendGrid", "SG.twin")
    parser.add_argument("--job-looks", type=int, default=1, help="how often a job is looked at before it has ended")
    options = parser.parse_args(arguments)

    def make_app() -> App:
        return create_app(Store(options.state, job_looks=options.job_looks), api_key=options.api_key)

    serve(options, make_app, "v3")


if __name__ == "__main__":
    main()
