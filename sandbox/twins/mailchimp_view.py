"""How the Mailchimp twin words things: member documents, problem documents, `fields` projection."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.responses import JSONResponse

from sandbox.twins.mailchimp_rules import Refused
from sandbox.twins.mailchimp_store import Member, Store

PROBLEM_TYPE = "https://mailchimp.com/developer/marketing/docs/errors/"  # [rec]


def problem(status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """The vendor's problem document [spec] [rec]."""
    body: dict[str, Any] = {
        "type": PROBLEM_TYPE,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": str(uuid.uuid4()),
    }
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, media_type="application/problem+json")


def not_found() -> JSONResponse:
    return problem(404, "Resource Not Found", "The requested resource could not be found.")  # [rec]


def refused(error: Refused) -> JSONResponse:
    errors = [{"field": error.field, "message": error.field_message}] if error.field else None
    return problem(400, error.title, error.message, errors)


def refused_record(email: str, error: Refused) -> dict[str, str]:
    """An entry of `errors` in a batch's answer [spec]."""
    return {
        "email_address": email,
        "error": error.message,
        "error_code": error.code,
        "field": error.field,
        "field_message": error.field_message,
    }


def member_document(
    member: Member, list_id: str, fields: Iterable[str], tags: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """A list member as the vendor shows it [spec]; unset merge fields are empty strings [rec]."""
    document: dict[str, Any] = {
        "id": member.id,
        "email_address": member.email_address,
        "unique_email_id": member.id[:10],
        "email_type": member.email_type,
        "status": member.status,
        "merge_fields": {tag: member.merge_fields.get(tag, "") for tag in fields},
        "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
        "ip_signup": "",
        "ip_opt": "",
        "timestamp_opt": member.timestamp_opt,
        "member_rating": 2,
        "last_changed": member.last_changed,
        "language": member.language,
        "vip": member.vip,
        "email_client": "",
        "location": {"latitude": 0, "longitude": 0, "gmtoff": 0, "dstoff": 0, "country_code": "", "timezone": ""},
        "list_id": list_id,
    }
    if tags is not None:
        document["tags_count"] = len(tags)
        document["tags"] = [{"id": tag["id"], "name": tag["name"]} for tag in tags]
    return document


def single_member(store: Store, member: Member, list_id: str) -> dict[str, Any]:
    tags = [row["tag"] for row in store.merge_fields(list_id)]
    document = member_document(member, list_id, tags, store.tags_of(list_id, member.id))
    document["contact_id"] = hashlib.md5(member.id.encode(), usedforsecurity=False).hexdigest()
    document["full_name"] = " ".join(
        str(member.merge_fields[tag]) for tag in ("FNAME", "LNAME") if tag in member.merge_fields
    )
    return document


def project(document: Any, wanted: list[list[str]]) -> Any:
    """`document` with nothing but the dotted paths of the `fields` parameter; lists are looked through."""
    if isinstance(document, list):
        return [project(item, wanted) for item in document]
    if not isinstance(document, dict):
        return document
    result: dict[str, Any] = {}
    for name in {path[0] for path in wanted if path and path[0] in document}:
        deeper = [path[1:] for path in wanted if path and path[0] == name]
        whole = any(not path for path in deeper)
        result[name] = document[name] if whole else project(document[name], deeper)
    return result


def answer(document: dict[str, Any], fields: str | None) -> JSONResponse:
    """A 200 with the `fields` that were asked for."""
    if fields:
        document = project(document, [path.split(".") for path in fields.split(",")])
    return JSONResponse(document)
