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
from sandbox.twins.klaviyo_store import LEFT_AT, ORDERS, SUPPRESSED_AT, Job, Profile, Store

MEDIA_TYPE = "application/vnd.api+json"  # [spec]
_LOCATION = ("address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip")


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


def _parsed(text: str) -> tuple[str, str, Any]:
    call = _CALL.fullmatch(text)
    if call is None:
        raise Refused("The filter could not be parsed.", "/filter")  # [unv] wording
    function, name, value = call.groups()
    try:
        return function, name, json.loads(value) if value[0] in '["' else value
    except ValueError:
        raise Refused("The filter could not be parsed.", "/filter") from None


_COMPARISONS = {"greater-than": ">", "greater-or-equal": ">=", "less-than": "<"}


def profiles_of(request: Request, store: Store, *, most: int, default: int) -> list[tuple[tuple[str, str], Profile]]:
    """The profiles of a page and one more if there is one, with the keys that they are sorted by [spec: allowed fields
    and operators of GET /profiles]."""
    query = request.query_params
    order, text = query.get("sort", "id"), query.get("filter")
    if order not in ORDERS:
        raise Refused(f"{order} is not what profiles are sorted by here.", "/sort")
    after, n = cursor_of(request), _size(request, most, default) + 1
    if not text:
        return store.profiles_after(order, after, n)
    function, name, value = _parsed(text)
    if function in {"any", "equals"} and name in {"email", "id"}:
        wanted = [value] if function == "equals" else value
        if not isinstance(wanted, list):
            raise Refused("any takes a list.", "/filter")  # [unv] wording
        wanted = [one.lower() for one in wanted] if name == "email" else wanted
        return store.profiles_after(order, after, n, (name, "in", wanted))
    if name in {"updated", "created"} and function in {"greater-than", "less-than"}:
        pass
    elif name not in {SUPPRESSED_AT, LEFT_AT} or function not in {"greater-than", "greater-or-equal"}:
        raise Refused(f"{function} of {name} is not allowed here.", "/filter")
    since = str(value).replace("Z", "+00:00")
    return store.profiles_after(order, after, n, (name, _COMPARISONS[function], since))


def filtered_statuses(text: str | None) -> set[str] | None:
    """Statuses of jobs that a filter asks for; None: all."""
    if not text:
        return None
    function, name, value = _parsed(text)
    if name != "status" or function not in {"any", "equals"}:
        raise Refused(f"{function} of {name} is not allowed here.", "/filter")
    return {value} if function == "equals" else set(value)


# pages


def _size(request: Request, most: int, default: int) -> int:
    size = int(request.query_params.get("page[size]", default))
    if not 1 <= size <= most:
        raise Refused(f"The page size must be between 1 and {most}.", "/page")
    return size


def cursor_of(request: Request) -> tuple[str, str]:
    """The key behind which a page begins."""
    after = request.query_params.get("page[cursor]")
    if not after:
        return ("", "")
    first, second = json.loads(base64.urlsafe_b64decode(after))
    return (first, second)


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
    size, after = _size(request, most, default), cursor_of(request)
    rows = [row for row in rows if row[0] > after]
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
