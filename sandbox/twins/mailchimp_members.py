"""Member endpoints of the Mailchimp twin: the batch, single members, their tags, segment members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.twins.door import carries
from sandbox.twins.mailchimp_rules import MAX_BATCH, STATUSES, Refused, Rules, check_email
from sandbox.twins.mailchimp_store import Member, Store, now_text, subscriber_hash
from sandbox.twins.mailchimp_view import (
    answer,
    member_document,
    not_found,
    problem,
    refused,
    refused_record,
    single_member,
)


def flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"true", "1"}


def page(request: Request) -> tuple[int, int]:
    """(offset, count): 10 by default, at most 1000 [spec]."""
    count = int(request.query_params.get("count", 10))
    return max(0, int(request.query_params.get("offset", 0))), max(0, min(count, 1000))


def _instant(text: str | None) -> str | None:
    """ISO 8601 with any offset, in the form that the store compares."""
    if not text:
        return None
    parsed = datetime.fromisoformat(text.replace(" ", "+"))
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return parsed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


class MemberEndpoints:
    """Each method answers one operation of the vendor's specification."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request, list_id: str) -> Member | None:
        """By hash or by address [spec]."""
        carries(request, 1)
        key = request.path_params["subscriber_hash"]
        return self.store.member(list_id, subscriber_hash(key) if "@" in key else key.lower())

    async def batch(self, request: Request, list_id: str) -> Response:
        body = await request.json()
        records = body.get("members")
        if not isinstance(records, list):
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        carries(request, len(records))
        if len(records) > MAX_BATCH:
            return problem(400, "Bad Request", f"Up to {MAX_BATCH} members may be added or updated.")
        emails = [str(r.get("email_address", "")).lower() for r in records]
        if len(set(emails)) < len(emails) and not flag(request, "skip_duplicate_check"):  # [unv]
            return problem(400, "Bad Request", "Duplicate items found in members array.")
        update, sync_tags = bool(body.get("update_existing")), bool(body.get("sync_tags"))
        new: list[Member] = []
        updated: list[Member] = []
        errors: list[dict[str, str]] = []
        seen: set[str] = set()
        rules = Rules(self.store, list_id)
        with self.store:
            for record in records:
                email = str(record.get("email_address", ""))
                if email.lower() in seen:
                    continue
                seen.add(email.lower())
                try:
                    member, is_new = rules.batch_record(
                        record, update=update, skip_required=flag(request, "skip_merge_validation")
                    )
                except Refused as error:
                    errors.append(refused_record(email, error))
                    continue
                (new if is_new else updated).append(self.store.put_member(list_id, member))
                if sync_tags:  # [spec] "will replace all existing tags with tags in request"; a batch has none
                    self.store.drop_tags_of(list_id, member.id)
            self.store.count("members_created", len(new))
            self.store.count("members_updated", len(updated))
        return JSONResponse(
            {
                "new_members": [member_document(m, list_id, rules.fields) for m in new],
                "updated_members": [member_document(m, list_id, rules.fields) for m in updated],
                "errors": errors,
                "total_created": len(new),
                "total_updated": len(updated),
                "error_count": len(errors),
            }
        )

    async def members(self, request: Request, list_id: str) -> Response:
        query = request.query_params
        offset, count = page(request)
        sort = query.get("sort_field", "seq")
        if query.get("status", "subscribed") not in {*STATUSES, "archived"}:
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        if sort not in {"seq", "timestamp_opt", "last_changed"}:
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        rows, total = self.store.members(
            list_id,
            status=query.get("status"),
            since_last_changed=_instant(query.get("since_last_changed")),
            sort=sort,
            descending=query.get("sort_dir", "ASC") == "DESC",
            offset=offset,
            count=count,
        )
        carries(request, len(rows))
        tags = [row["tag"] for row in self.store.merge_fields(list_id)]
        shown = [member_document(m, list_id, tags) for m in rows]
        return answer({"members": shown, "list_id": list_id, "total_items": total}, query.get("fields"))

    async def member(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        return answer(single_member(self.store, found, list_id), request.query_params.get("fields"))

    async def put_member(self, request: Request, list_id: str) -> Response:
        body = await request.json()
        found = self._find(request, list_id)
        rules = Rules(self.store, list_id)
        skip = flag(request, "skip_merge_validation")
        try:
            if found is None or found.status == "archived":
                status = body.get("status_if_new") or body.get("status")
                email = check_email(body.get("email_address"))
                member = rules.new_member(email, status, body.get("merge_fields"), skip_required=skip)
            else:
                member = self._changed(rules, found, body, skip)
        except Refused as error:
            return refused(error)
        return JSONResponse(single_member(self.store, self.store.put_member(list_id, member), list_id))

    async def patch_member(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        try:
            skip = flag(request, "skip_merge_validation")
            member = self._changed(Rules(self.store, list_id), found, await request.json(), skip)
        except Refused as error:
            return refused(error)
        return JSONResponse(single_member(self.store, self.store.put_member(list_id, member), list_id))

    @staticmethod
    def _changed(rules: Rules, member: Member, body: dict[str, Any], skip_required: bool) -> Member:
        member.merge_fields = rules.merged(
            member.merge_fields, body.get("merge_fields"), is_new=False, skip_required=skip_required
        )
        status = body.get("status")
        if status is not None:
            if status not in STATUSES:
                raise Refused("The resource submitted could not be validated.")
            rules.change_status(member, status)
        return member

    async def archive(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        if found.status in {"archived", "cleaned", "pending"}:  # [rec]
            return problem(
                405,
                "Method Not Allowed",
                "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived",
            )
        found.status = "archived"
        self.store.put_member(list_id, found)
        return Response(status_code=204)

    async def forget(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        self.store.forget(list_id, found.id)
        return Response(status_code=204)

    async def tags(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        rows = self.store.tags_of(list_id, found.id)
        offset, count = page(request)
        document = {"tags": rows[offset : offset + count], "total_items": len(rows)}
        return answer(document, request.query_params.get("fields"))

    async def change_tags(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        for tag in (await request.json()).get("tags", []):
            segment_id = self.store.segment_named(list_id, tag["name"])
            if segment_id is None:
                if tag["status"] != "active":
                    continue
                segment_id = self.store.add_segment(list_id, tag["name"])
            self.store.set_in_segment(segment_id, found.id, tag["status"] == "active")
        return Response(status_code=204)

    async def add_event(self, request: Request, list_id: str) -> Response:
        """Events have no key: what is sent twice is there twice."""
        found = self._find(request, list_id)
        if found is None or found.status == "archived":  # [unv] that archived counts as absent
            return not_found()
        body = await request.json()
        name, properties = body.get("name"), body.get("properties") or {}
        if not isinstance(name, str) or not 2 <= len(name) <= 30:  # [spec] "Must be 2-30 characters in length"
            errors = [{"field": "name", "message": "Event names have 2 to 30 characters."}]  # [unv] wording
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.", errors)
        if any(not isinstance(value, str) for value in properties.values()):  # [spec] type of properties
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        self.store.events.add(found.id, name, _instant(body.get("occurred_at")) or now_text(), properties)
        return Response(status_code=204)

    async def events(self, request: Request, list_id: str) -> Response:
        found = self._find(request, list_id)
        if found is None:
            return not_found()
        rows = [{name: row[name] for name in ("name", "occurred_at", "properties")}
                for row in reversed(self.store.events.of(found.id))]  # fmt: skip
        offset, count = page(request)
        document = {"events": rows[offset : offset + count], "total_items": len(rows)}
        return answer(document, request.query_params.get("fields"))

    async def segment_members(self, request: Request, list_id: str) -> Response:
        segment_id = int(request.path_params["segment_id"])
        if self.store.segment(list_id, segment_id) is None:
            return not_found()
        offset, count = page(request)
        extra = [s for s in ("cleaned", "transactional", "unsubscribed") if flag(request, f"include_{s}")]
        rows, total = self.store.members(list_id, segment_id=segment_id, include=extra, offset=offset, count=count)
        carries(request, len(rows))
        tags = [row["tag"] for row in self.store.merge_fields(list_id)]
        shown = [member_document(m, list_id, tags) for m in rows]
        return answer({"members": shown, "total_items": total}, request.query_params.get("fields"))
