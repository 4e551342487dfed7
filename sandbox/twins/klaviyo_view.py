"""How the Klaviyo twin words things: JSON:API documents, errors, filters, pages with cursors."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.twins.door import carries
from sandbox.twins.klaviyo_jobs import OWN, Refused
from sandbox.twins.klaviyo_store import Job, Profile, Store

MEDIA_TYPE = "application/vnd.api+json"  # [spec]
_LOCATION = ("address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip")
_SUPPRESSED_AT = "subscriptions.email.marketing.suppression.timestamp"
_LEFT_AT = "subscriptions.email.marketing.list_suppressions.timestamp"


def document(body: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(body, status, media_type=MEDIA_TYPE)


def refused(error: Refused) -> JSONResponse:
    """[spec] components/responses/ClientError."""
    entry = {
        "id": str(uuid.uuid4()),
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "source": {"pointer": error.pointer},
    }
    return document({"errors": [entry]}, error.status)


def not_found(what: str) -> JSONResponse:
    return refused(Refused(f"A {what} with this id does not exist.", "/data", 404, "not_found", "Not found."))


def failed() -> JSONResponse:
    return refused(Refused("Something went wrong.", "/data", 500, "error", "A server error occurred."))


def subscriptions(profile: Profile) -> dict[str, Any]:
    """[spec] Subscriptions; `can_receive_email_marketing`: "True if it does profile does not have any global
    suppressions"."""
    return {
        "email": {
            "marketing": {
                "can_receive_email_marketing": not profile.suppressions,
                "consent": profile.consent,
                "consent_timestamp": profile.consent_at,
                "last_updated": profile.consent_at,
                "method": None,
                "method_detail": "",
                "custom_method_detail": None,
                "double_optin": profile.double_optin,
                "suppression": profile.suppressions,
                "list_suppressions": profile.list_suppressions,
            }
        }
    }


def profile_resource(profile: Profile, query: Mapping[str, str], base: str) -> dict[str, Any]:
    """With `subscriptions` when asked for, and nothing but `fields[profile]` if those are named [spec]."""
    location = profile.attributes.get("location") or {}
    attributes: dict[str, Any] = {
        "email": profile.email,
        **{name: profile.attributes.get(name) for name in OWN},
        "location": {name: location.get(name) for name in _LOCATION},
        "properties": profile.properties,
        "created": profile.created,
        "updated": profile.updated,
        "last_event_date": None,
    }
    if "subscriptions" in query.get("additional-fields[profile]", "").split(","):
        attributes["subscriptions"] = subscriptions(profile)
    if query.get("fields[profile]"):
        wanted = query["fields[profile]"].split(",")
        parts = {name.partition(".")[2] for name in wanted if name.startswith("location.")}
        if parts and "location" not in wanted:
            attributes["location"] = {name: location.get(name) for name in parts}
            wanted.append("location")
        attributes = {name: value for name, value in attributes.items() if name in wanted}
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "links": {"self": f"{base}/api/profiles/{profile.id}"},
    }


def list_resource(row: Mapping[str, Any], query: Mapping[str, str], base: str) -> dict[str, Any]:
    attributes = {name: row[name] for name in ("name", "created", "updated", "opt_in_process")}
    if query.get("fields[list]"):
        wanted = query["fields[list]"].split(",")
        attributes = {name: value for name, value in attributes.items() if name in wanted}
    links = {"self": f"{base}/api/lists/{row['id']}"}
    return {"type": "list", "id": row["id"], "attributes": attributes, "links": links}


def job_resource(job: Job, base: str) -> dict[str, Any]:
    attributes = {
        "status": job.status,
        "created_at": job.created,
        "total_count": job.total,
        "completed_count": len(job.done),
        "failed_count": len(job.errors),
        "completed_at": job.completed,
    }
    links = {"self": f"{base}/api/profile-bulk-import-jobs/{job.id}"}
    return {"type": "profile-bulk-import-job", "id": job.id, "attributes": attributes, "links": links}


def error_resource(at: int, error: Mapping[str, Any], base: str, job_id: str) -> dict[str, Any]:
    """[spec] an import error; that `original_payload` holds the profile as it was sent is [unv]."""
    return {"type": "import-error", "id": f"{job_id}-{at}", "attributes": dict(error)}


# filters: one function of one field, as the specification's `filter` parameters allow

_CALL = re.compile(r"([a-z-]+)\(([\w.]+),(.*)\)", re.DOTALL)


def _instants(profile: Profile, name: str) -> list[str]:
    if name == _SUPPRESSED_AT:
        return [s["timestamp"] for s in profile.suppressions]
    if name == _LEFT_AT:
        return [s["timestamp"] for s in profile.list_suppressions]
    return [profile.updated if name == "updated" else profile.created]


def _parsed(text: str) -> tuple[str, str, Any]:
    call = _CALL.fullmatch(text)
    if call is None:
        raise Refused("The filter could not be parsed.", "/filter")  # [unv] wording
    function, name, value = call.groups()
    try:
        return function, name, json.loads(value) if value[0] in '["' else value
    except ValueError:
        raise Refused("The filter could not be parsed.", "/filter") from None


def filtered_profiles(store: Store, text: str | None) -> list[Profile]:
    """The profiles that a filter lets through [spec: allowed fields and operators of GET /profiles]."""
    if not text:
        return store.profiles()
    function, name, value = _parsed(text)
    if function in {"any", "equals"} and name in {"email", "id"}:
        find = store.profile if name == "email" else store.profile_by_id
        return [p for one in ([value] if function == "equals" else value) if (p := find(one)) is not None]
    if name in {"updated", "created"} and function in {"greater-than", "less-than"}:
        pass
    elif name not in {_SUPPRESSED_AT, _LEFT_AT} or function not in {"greater-than", "greater-or-equal"}:
        raise Refused(f"{function} of {name} is not allowed here.", "/filter")
    since = str(value).replace("Z", "+00:00")
    compare: Callable[[str], bool] = {
        "greater-than": lambda at: at > since,
        "greater-or-equal": lambda at: at >= since,
        "less-than": lambda at: at < since,
    }[function]
    return [p for p in store.profiles() if any(compare(at) for at in _instants(p, name))]


def filtered_statuses(text: str | None) -> set[str] | None:
    """Statuses of jobs that a filter asks for; None: all."""
    if not text:
        return None
    function, name, value = _parsed(text)
    if name != "status" or function not in {"any", "equals"}:
        raise Refused(f"{function} of {name} is not allowed here.", "/filter")
    return {value} if function == "equals" else set(value)


def profile_sort_key(name: str) -> Callable[[Profile], tuple[str, str]]:
    def key(profile: Profile) -> tuple[str, str]:
        if name in {"email", "id"}:
            return (str(getattr(profile, name)), profile.id)
        return (max(_instants(profile, name), default=""), profile.id)

    return key


# pages


def page(
    request: Request,
    rows: list[tuple[tuple[str, str], dict[str, Any]]],
    *,
    most: int,
    default: int,
    included: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None,
) -> Response:
    """One page of resources, sorted by their keys; the cursor says after which key it goes on [unv: it is opaque].

    `included`: the resources that belong to those of a page.
    """
    query = request.query_params
    size = int(query.get("page[size]", default))
    if not 1 <= size <= most:
        raise Refused(f"The page size must be between 1 and {most}.", "/page")
    after = query.get("page[cursor]")
    if after:
        start = tuple(json.loads(base64.urlsafe_b64decode(after)))
        rows = [row for row in rows if row[0] > start]
    shown = rows[:size]
    carries(request, len(shown))
    base = str(request.base_url).rstrip("/")
    here = f"{base}{request.url.path}"
    links: dict[str, Any] = {"self": here}
    if len(rows) > size:
        cursor = base64.urlsafe_b64encode(json.dumps(shown[-1][0]).encode()).decode()
        links["next"] = f"{here}?{urlencode({**query, 'page[cursor]': cursor})}"
    data = [resource for _, resource in shown]
    return document({"data": data, "links": links, **({"included": included(data)} if included else {})})
