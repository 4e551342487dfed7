"""A local, **simulated** Mailchimp: the part of the Marketing API 3.0 that a sync needs, over real HTTP.

    python -m sandbox.twins.mailchimp --port 0 --state FILE --api-key KEY

prints one JSON line with its URL. It is not Mailchimp, sends no mail and answers on 127.0.0.1 only. Paths under
`/__twin__/` are the twin's own (counters, faults): the vendor has nothing like them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.twins import mailchimp_rules as rules
from sandbox.twins.door import Door, carries
from sandbox.twins.faults import App, Faults, is_authorized
from sandbox.twins.mailchimp_holdings import MailchimpHoldings
from sandbox.twins.mailchimp_members import MemberEndpoints, flag, page
from sandbox.twins.mailchimp_reports import report_routes
from sandbox.twins.mailchimp_store import DEFAULT_LIST, Store
from sandbox.twins.mailchimp_view import answer, member_document, not_found, problem
from sandbox.twins.serve import make_parser, serve

MAX_CONNECTIONS = 10  # vendor's page: 10 simultaneous connections per user, more get 429


class Endpoints(MemberEndpoints):
    """Merge fields and static segments; members are in `mailchimp_members`."""

    async def list_info(self, request: Request, list_id: str) -> Response:
        _, total = self.store.members(list_id, count=0)
        _, subscribed = self.store.members(list_id, status="subscribed", count=0)
        info = {"id": list_id, "name": "Simulated audience", "stats": {"member_count": subscribed}}
        if flag(request, "include_total_contacts"):
            info["stats"]["total_contacts"] = total
        return answer(info, request.query_params.get("fields"))

    async def merge_fields(self, request: Request, list_id: str) -> Response:
        rows = self.store.merge_fields(list_id)
        offset, count = page(request)
        document = {"merge_fields": rows[offset : offset + count], "list_id": list_id, "total_items": len(rows)}
        return answer(document, request.query_params.get("fields"))

    async def add_merge_field(self, request: Request, list_id: str) -> Response:
        body = await request.json()
        rows = self.store.merge_fields(list_id)
        tag = str(body.get("tag") or f"MMERGE{len(rows) + 1}").upper()
        errors = []
        if not body.get("name"):
            errors.append({"field": "name", "message": "This value should not be blank."})
        if body.get("type") not in rules.FIELD_TYPES:
            errors.append({"field": "type", "message": "This value is not a valid choice."})
        if len(tag) > rules.MAX_TAG_LENGTH or not tag.replace("_", "").isalnum():
            errors.append({"field": "tag", "message": f"Merge tags have at most {rules.MAX_TAG_LENGTH} characters."})
        if errors:
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.", errors)
        if any(row["tag"] == tag for row in rows):
            return problem(400, "Bad Request", f'A Merge Field with the tag "{tag}" already exists for this list.')
        if len(rows) >= rules.MAX_MERGE_FIELDS:
            return problem(400, "Bad Request", "This list has the maximum number of merge fields.")  # [unv] wording
        allowed = ("name", "type", "required", "default_value", "public", "options", "help_text")
        merge_id = self.store.add_merge_field(list_id, tag=tag, **{k: body[k] for k in allowed if k in body})
        return JSONResponse(next(row for row in self.store.merge_fields(list_id) if row["merge_id"] == merge_id))

    async def drop_merge_field(self, request: Request, list_id: str) -> Response:
        dropped = self.store.drop_merge_field(list_id, int(request.path_params["merge_id"]))
        return Response(status_code=204) if dropped else not_found()

    async def segments(self, request: Request, list_id: str) -> Response:
        wanted = request.query_params.get("type")
        rows = [row for row in self.store.segments(list_id) if wanted in (None, row["type"])]
        offset, count = page(request)
        document = {"segments": rows[offset : offset + count], "list_id": list_id, "total_items": len(rows)}
        return answer(document, request.query_params.get("fields"))

    async def add_segment(self, request: Request, list_id: str) -> Response:
        body = await request.json()
        name = body.get("name")
        if not name or "static_segment" not in body:
            return problem(400, "Invalid Resource", "The twin knows static segments alone; name and emails are needed.")
        if self.store.segment_named(list_id, name) is not None:
            return problem(400, "Bad Request", "Sorry, that tag already exists.")  # [unv] wording
        with self.store:
            segment_id = self.store.add_segment(list_id, name)
            self._add(list_id, segment_id, body["static_segment"])
        carries(request, len(body["static_segment"]))
        return JSONResponse(self.store.segment(list_id, segment_id))

    async def segment(self, request: Request, list_id: str) -> Response:
        found = self.store.segment(list_id, int(request.path_params["segment_id"]))
        return answer(found, request.query_params.get("fields")) if found else not_found()

    async def drop_segment(self, request: Request, list_id: str) -> Response:
        segment_id = int(request.path_params["segment_id"])
        if self.store.segment(list_id, segment_id) is None:
            return not_found()
        self.store.drop_segment(segment_id)
        return Response(status_code=204)

    def _add(self, list_id: str, segment_id: int, emails: list[str]) -> tuple[list[Any], list[str]]:
        """(members newly inside, addresses that are not on the list); who was inside already is neither [unv]."""
        added, unknown = [], []
        for email in emails:
            member = self.store.member(list_id, rules.subscriber_hash(email))
            if member is None or member.status in {"archived", "cleaned"}:
                unknown.append(email)
            elif self.store.set_in_segment(segment_id, member.id, True):
                added.append(member)
        return added, unknown

    async def change_segment(self, request: Request, list_id: str) -> Response:
        segment_id = int(request.path_params["segment_id"])
        if self.store.segment(list_id, segment_id) is None:
            return not_found()
        body = await request.json()
        to_add, to_remove = body.get("members_to_add") or [], body.get("members_to_remove") or []
        carries(request, len(to_add) + len(to_remove))
        if max(len(to_add), len(to_remove)) > rules.MAX_SEGMENT_CHANGE:
            return problem(400, "Bad Request", f"At most {rules.MAX_SEGMENT_CHANGE} members can be sent.")
        removed, gone = [], []
        with self.store:
            added, unknown = self._add(list_id, segment_id, to_add)
            for email in to_remove:
                member = self.store.member(list_id, rules.subscriber_hash(email))
                if member is None:
                    gone.append(email)
                elif self.store.set_in_segment(segment_id, member.id, False):
                    removed.append(member)
        errors = [
            {"email_addresses": some, "error": "Email addresses do not exist on the list"}  # [unv] wording
            for some in (unknown, gone)
            if some
        ]
        tags = [row["tag"] for row in self.store.merge_fields(list_id)]
        return JSONResponse(
            {
                "members_added": [member_document(m, list_id, tags) for m in added],
                "members_removed": [member_document(m, list_id, tags) for m in removed],
                "errors": errors,
                "total_added": len(added),
                "total_removed": len(removed),
                "error_count": len(errors),
            }
        )


def _routes(ends: Endpoints) -> list[Route]:
    def route(path: str, **methods: Callable[[Request, str], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            method = methods.get("GET" if request.method == "HEAD" else request.method)
            list_id = request.path_params["list_id"]
            if method is None:
                return problem(405, "Method Not Allowed", "The requested method and resource are not compatible.")
            if not ends.store.has_list(list_id):
                return not_found()
            try:
                return await method(request, list_id)
            except (json.JSONDecodeError, UnicodeDecodeError):
                return problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.")

        return Route(f"/3.0/lists/{{list_id}}{path}", endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])

    member = "/members/{subscriber_hash}"
    return [
        route("", GET=ends.list_info, POST=ends.batch),
        route("/merge-fields", GET=ends.merge_fields, POST=ends.add_merge_field),
        route("/merge-fields/{merge_id:int}", DELETE=ends.drop_merge_field),
        route("/members", GET=ends.members),
        route(member, GET=ends.member, PUT=ends.put_member, PATCH=ends.patch_member, DELETE=ends.archive),
        route(member + "/events", GET=ends.events, POST=ends.add_event),
        route(member + "/tags", GET=ends.tags, POST=ends.change_tags),
        route(member + "/actions/delete-permanent", POST=ends.forget),
        route("/segments", GET=ends.segments, POST=ends.add_segment),
        route("/segments/{segment_id:int}", GET=ends.segment, POST=ends.change_segment, DELETE=ends.drop_segment),
        route("/segments/{segment_id:int}/members", GET=ends.segment_members),
    ]


class MailchimpDoor(Door):
    has_empty_403 = True  # the vendor's other way to throttle (vendor's run-bulk-jobs guide)

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        if is_authorized(headers.get("authorization", ""), self.api_key):
            return None
        detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
        return problem(401, "API Key Invalid", detail)

    def admit(self, method: str, path: str, *, is_busy: bool) -> tuple[Response | None, Mapping[str, str]]:
        if self.open <= MAX_CONNECTIONS and not is_busy:
            return None, {}
        detail = f"You have exceeded the limit of {MAX_CONNECTIONS} simultaneous connections."
        return problem(429, "Too Many Requests", detail), {}

    def failed(self) -> Response:
        return problem(500, "Internal Server Error", "An unexpected internal error has occurred.")

    def not_found(self) -> Response:
        return not_found()


def create_app(state: Store, faults: Faults | None = None, api_key: str = "twin-us0") -> MailchimpDoor:
    """The twin as an ASGI application over `state`; `faults` may be shared with a test."""
    return MailchimpDoor(
        [*_routes(Endpoints(state)), *report_routes(state)],
        state,
        faults or Faults(),
        api_key,
        MailchimpHoldings(state),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("Mailchimp", "twin-us0")
    parser.add_argument("--list-id", default=DEFAULT_LIST)
    options = parser.parse_args(arguments)

    def make_app() -> App:
        return create_app(Store(options.state, options.list_id), api_key=options.api_key)

    serve(options, make_app, "3.0", list_id=options.list_id)


if __name__ == "__main__":
    main()
