"""Whom a SendGrid account has: contacts by an export, suppressions by their lists, joined by address.

A contact has no status there. Whether she may be mailed stands in the suppressions, which concern the account's whole
mail and outlive the contact: so a suppressed address that is no contact is told too, lest it be created.

No endpoint tells which contacts changed (a search shows 50 at most [specification]): a look since some instant sees new
suppressions alone, and the count of contacts tells whether an export is due.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from reverse_etl.destination import RemoteMember
from reverse_etl.destinations.sendgrid_answers import contact_hash, instant
from reverse_etl.destinations.sendgrid_api import KIND, Api
from reverse_etl.errors import DestinationDown
from reverse_etl.files import UnreadableFile, rows
from reverse_etl.limits import limit
from reverse_etl.suppressed import Suppressed, Suppression

PAGE = 1000
_SUPPRESSIONS = {
    "unsubscribes": "unsubscribed",
    "spam_reports": "unsubscribed",
    "bounces": "cleaned",
    "invalid_emails": "cleaned",
}
"""List of suppressions → what it makes of a person's status."""

FieldKeys = Mapping[str, tuple[str, ...]]
"""Field of the sync → what it may be called where a contact is shown: its name, or its id."""


def pull_everything(api: Api, fields: FieldKeys) -> Iterator[list[RemoteMember]]:
    """Pages of all contacts, then of suppressed addresses that are none."""
    urls, expected = _export(api)
    with Suppressed() as suppressed:
        _gather(api, suppressed, None)  # after the export is ready: an unsubscribe in between is not missed
        n = 0
        for url in urls:
            contacts = _downloaded(api, url)
            while page := list(islice(contacts, PAGE)):
                n += len(page)
                found = suppressed.take([contact_hash(row.get("email") or "") for row in page])
                yield [_member(row, found.get(contact_hash(row.get("email") or "")), fields) for row in page]
        if expected is not None and n < expected:
            raise _unusable(f"it has {n} of {expected} contacts")
        for page in suppressed.rest(PAGE):
            yield [_no_contact(one) for one in page]


def pull_suppressed(api: Api, since: datetime, fields: FieldKeys) -> Iterator[list[RemoteMember]]:
    """Pages of whom was suppressed since then."""
    with Suppressed() as suppressed:
        _gather(api, suppressed, since - timedelta(seconds=limit(KIND, "suppression_overlap_seconds")))
        for page in suppressed.rest(PAGE):
            contacts = api.look_up([one.email for one in page])
            yield [
                _member(_flat(contacts[one.subscriber_hash]), one, fields)
                if one.subscriber_hash in contacts
                else _no_contact(one)
                for one in page
            ]


def shown_contacts(api: Api, emails: Sequence[str], fields: FieldKeys) -> list[RemoteMember]:
    """Contacts with these addresses, with the lists that they are in; suppressions are not asked for."""
    return [
        replace(_member(_flat(row), None, fields), segment_ids=frozenset(str(one) for one in row.get("list_ids") or []))
        for row in api.look_up(emails).values()
    ]


def _unusable(why: str) -> DestinationDown:
    return DestinationDown(
        f"SendGrid's export of contacts cannot be used: {why}.", todo="run the sync again; nothing was sent"
    )


def _export(api: Api) -> tuple[list[str], int | None]:
    """Links to the files of a new export, and how many contacts they have in all, if it says so."""
    job = str(api.ask("POST", "/marketing/contacts/exports", json={"file_type": "csv"})["id"])
    pause, patience = limit(KIND, "job_pause_seconds"), limit(KIND, "export_patience_seconds")
    for waited in range(0, patience + 1, pause):
        if waited:
            api.http.wait(pause)
        body = api.ask("GET", f"/marketing/contacts/exports/{job}")
        if body.get("status") == "ready":
            return list(body.get("urls") or []), body.get("contact_count")
        if body.get("status") == "failure":
            raise _unusable(f"it failed ({api.http.clean(str(body.get('message') or 'no reason given'))})")
    raise _unusable(f"it was not ready after {patience} seconds")


def _downloaded(api: Api, url: str) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryFile() as file:
        status = api.http.download(url, file)
        if status != 200:
            raise _unusable(f"its file is answered with {status}")
        try:
            for row in rows(file):
                yield _flat(row)
        except UnreadableFile as error:
            raise _unusable(f"its file is broken ({error})") from None


def _gather(api: Api, suppressed: Suppressed, since: datetime | None) -> None:
    size = limit(KIND, "suppression_page_size")
    window = {} if since is None else {"start_time": int(since.replace(tzinfo=UTC).timestamp())}
    for name, status in _SUPPRESSIONS.items():
        offset = 0
        while True:
            page = api.ask("GET", f"/suppression/{name}", params={**window, "limit": size, "offset": offset}) or []
            suppressed.add(
                Suppression(contact_hash(row["email"]), row["email"], status, instant(row.get("created")))
                for row in page
                if row.get("email")
            )
            offset += size
            if len(page) < size:
                break


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A contact with lower-case names, custom fields among the others: files have them in capitals."""
    custom = row.get("custom_fields")
    both = {**row, **(custom if isinstance(custom, Mapping) else {})}
    return {str(name).lower(): value for name, value in both.items()}


def _member(row: Mapping[str, Any], suppression: Suppression | None, fields: FieldKeys) -> RemoteMember:
    remote_id = str(row.get("contact_id") or row.get("id") or "")
    email = str(row.get("email") or "")
    shown = {
        name: next((row[key.lower()] for key in keys if row.get(key.lower()) not in (None, "")), "")
        for name, keys in fields.items()
    }
    return RemoteMember(
        # who has no address (a telephone's contact) is counted, and nobody of ours
        subscriber_hash=contact_hash(email) if email else f"id:{remote_id}",
        email=email,
        status=suppression.status if suppression else "subscribed",
        # of who is suppressed, when that was: other systems write to her as well, and say nothing of her wishes
        last_changed_at=suppression.at if suppression else instant(row.get("updated_at")),
        fields=shown if fields else None,
        remote_id=remote_id or None,
    )


def _no_contact(one: Suppression) -> RemoteMember:
    return RemoteMember(one.subscriber_hash, one.email, one.status, one.at, is_counted=False)
