"""Whom a HubSpot account has: contacts with an address, each with her word to our subscription type.

Everybody is read from the list of contacts; changes by a search, which lags behind [recorded: a total of one and no
results], shows 10,000 results at most, and sees what touched a contact. Whether a change of consent always does is
[unverified]: statuses are therefore read for every contact of a page, and a full pull sees the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from reverse_etl.destination import RemoteMember
from reverse_etl.destinations.hubspot_answers import contact_hash, instant
from reverse_etl.destinations.hubspot_api import CONTACTS, KIND, Api
from reverse_etl.destinations.hubspot_consent import Consent, Status
from reverse_etl.limits import limit

BOUNCED = "hs_email_hard_bounce_reason_enum"
OPTED_OUT = "hs_email_optout"
CHANGED = "lastmodifieddate"
HAS_EMAIL = {"propertyName": "email", "operator": "HAS_PROPERTY"}

STATUSES = {"SUBSCRIBED": "subscribed", "UNSUBSCRIBED": "unsubscribed"}
NO_WORD = "transactional"
"""She said nothing to our subscription type: her fields are updated, she may be unsubscribed, nobody raises her."""


def pull_everybody(api: Api, consent: Consent, fields: Sequence[str]) -> Iterator[list[RemoteMember]]:
    after: str | None = None
    wanted = ",".join(_properties(fields))
    while True:
        params = {"limit": limit(KIND, "page_size"), "properties": wanted, **({"after": after} if after else {})}
        body = api.ask("GET", CONTACTS, params=params)
        yield _members(consent, body.get("results") or [], fields)
        after = _next(body)
        if after is None:
            return


def pull_changed(api: Api, consent: Consent, since: datetime, fields: Sequence[str]) -> Iterator[list[RemoteMember]]:
    """Changed since then, in the order of change; beyond the most results of a search, another one goes on."""
    size, most = limit(KIND, "search_page_size"), limit(KIND, "search_results")
    since -= timedelta(seconds=limit(KIND, "search_overlap_seconds"))
    after: str | None = None
    newest = since
    while True:
        body = api.ask("POST", f"{CONTACTS}/search", json=_search(since, size, after, _properties(fields)))
        rows = body.get("results") or []
        yield _members(consent, rows, fields)
        newest = max([newest, *(at for row in rows if (at := _changed_at(row)) is not None)])
        after = _next(body)
        if after is None:
            return
        if int(after) + size > most:
            if newest <= since:  # more than a search shows were changed in one instant
                yield from pull_everybody(api, consent, fields)
                return
            since, after = newest, None


def read_back(api: Api, consent: Consent, emails: Sequence[str], fields: Sequence[str]) -> list[RemoteMember]:
    """Contacts with these addresses, as they are now."""
    size = limit(KIND, "records_per_batch")
    found: list[RemoteMember] = []
    for start in range(0, len(emails), size):
        rows = _rows_of(api, emails[start : start + size], fields)
        asked = set(emails[start : start + size])
        # a contact is found by its further addresses too, which are not hers to us
        found += _members(consent, [row for row in rows if row["properties"]["email"].lower() in asked], fields)
    return found


def _rows_of(api: Api, emails: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
    inputs = [{"id": email} for email in emails]
    body = {"idProperty": "email", "inputs": inputs, "properties": _properties(fields), "propertiesWithHistory": []}
    status, answer = api.send("POST", f"{CONTACTS}/batch/read", json=body, is_read=True)
    if status < 300:
        return answer.get("results") or []
    if status != 400:
        raise api.refusal(status, answer)
    if len(emails) == 1:  # no address in the vendor's eyes, and so nobody's
        return []
    middle = len(emails) // 2
    return _rows_of(api, emails[:middle], fields) + _rows_of(api, emails[middle:], fields)


def count(api: Api) -> int:
    body = {"filterGroups": [{"filters": [HAS_EMAIL]}], "properties": ["email"], "limit": 1}
    return int(api.ask("POST", f"{CONTACTS}/search", json=body)["total"])


def _search(since: datetime, size: int, after: str | None, properties: list[str]) -> dict[str, Any]:
    milliseconds = int(since.replace(tzinfo=UTC).timestamp() * 1000)
    changed = {"propertyName": CHANGED, "operator": "GTE", "value": str(milliseconds)}
    return {
        "filterGroups": [{"filters": [changed, HAS_EMAIL]}],
        "sorts": [{"propertyName": CHANGED, "direction": "ASCENDING"}],
        "properties": properties,
        "limit": size,
        **({"after": after} if after else {}),
    }


def _properties(fields: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(["email", OPTED_OUT, BOUNCED, CHANGED, *fields]))


def _next(body: Mapping[str, Any]) -> str | None:
    after = ((body.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else str(after)


def _changed_at(row: Mapping[str, Any]) -> datetime | None:
    return instant((row.get("properties") or {}).get(CHANGED) or row.get("updatedAt"))


def _members(consent: Consent, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[RemoteMember]:
    contacts = [row for row in rows if (row.get("properties") or {}).get("email")]
    if not contacts:
        return []
    said = consent.read([row["properties"]["email"] for row in contacts])
    return [_member(row, said.get(row["properties"]["email"].lower()), fields) for row in contacts]


def _member(row: Mapping[str, Any], said: Status | None, fields: Sequence[str]) -> RemoteMember:
    properties = row["properties"]
    status = STATUSES.get(said.state, NO_WORD) if said else NO_WORD
    if properties.get(OPTED_OUT) == "true":
        status = "unsubscribed"
    if status != "unsubscribed" and properties.get(BOUNCED):  # her word outranks a bounce
        status = "cleaned"
    if status == "unsubscribed":  # when she said so: other systems write to her as well, and say nothing of her wishes
        changed = said.at if said and said.state == "UNSUBSCRIBED" else None
    else:
        changed = _changed_at(row)
    return RemoteMember(
        subscriber_hash=contact_hash(properties["email"]),
        email=properties["email"],
        status=status,
        last_changed_at=changed,
        fields={name: properties.get(name) or "" for name in fields} if fields else None,
        remote_id=str(row["id"]),
    )
