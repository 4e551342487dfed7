"""What HubSpot's answers mean: whom a refusal is about, how each record of a batch ended.

Sources: shapes of the vendor's API client 12.0.0 and its reference pages; recorded traffic 2021-22. What the errors of
a 207 carry in `context` is [unverified], and a refused batch names its records in words alone: so whoever is named, by
position, by address or by a value of hers, is taken out. Strict about what we send, lenient about what we parse.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from reverse_etl.destination import CONFIRMED, Outcome, Record
from reverse_etl.errors import DestinationDown, RejectedClass

UNNAMED = Outcome("rejected", RejectedClass.RETRYABLE, "The destination's answer does not mention this record.")
BUSY = (423, 477, 429)
"""Locked by too much at once; the account moves to another region; over a limit (vendor's page on errors)."""
_TRACE = "objectWriteTraceId"
_POSITION = re.compile(r"(?:inputs\[|\"?index\"?\s*[:=]\s*)(\d+)")
_SEPARATORS = re.compile(r"[\s\"',;()<>\[\]{}]+")
_NO_SUCH_PROPERTY = "PROPERTY_DOESNT_EXIST"
_ABSENT = "OBJECT_NOT_FOUND"
_LATER = {"RATE_LIMITS", "CONFLICT"}
"""Categories of errors that say nothing against the record: another pass may get it through."""


def contact_hash(email: str) -> str:
    """Our own key of a person: MD5 of the lower-case address, as the vendor keeps it."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def instant(text: object) -> datetime | None:
    """ISO 8601 as naive UTC; None for anything else."""
    try:
        parsed = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


def is_busy(response: httpx.Response) -> bool:
    return response.status_code in BUSY


def quota_used_up(response: httpx.Response) -> DestinationDown | None:
    """The error for a refusal because the day's requests are used up: it lasts until midnight."""
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = {}
    policy = str(body.get("policyName", "")) if isinstance(body, Mapping) else ""
    if policy != "DAILY" and response.headers.get("x-hubspot-ratelimit-daily-remaining") != "0":
        return None
    return no_requests_left()


def no_requests_left() -> DestinationDown:
    return DestinationDown(
        "The HubSpot account's requests of today are used up (or nearly: the rest is left to its other integrations).",
        todo="run the sync again after midnight in the account's time zone; it goes on where it stopped",
    )


def _entries(body: object) -> Iterator[Mapping[str, Any]]:
    """An answer and everything inside it that describes an error, the JSON in its message included."""
    if isinstance(body, list):
        for item in body:
            yield from _entries(item)
    elif isinstance(body, Mapping):
        yield body
        for key in ("errors", "validationResults", "failureMessages", "propertyValidationResult", "error"):
            yield from _entries(body.get(key))
        message = str(body.get("message", ""))
        start = message.find("[{")
        if start >= 0:
            try:
                yield from _entries(json.JSONDecoder().raw_decode(message[start:])[0])
            except ValueError:
                return


def detail_of(body: object) -> str:
    """Category and messages in one line (addresses are still inside)."""
    if not isinstance(body, Mapping):
        return "no explanation"
    category = str(body.get("category", ""))
    messages = [str(e["message"]) for e in _entries(body) if e.get("message")]
    return ": ".join(part for part in (category, "; ".join(dict.fromkeys(messages))) if part) or "no explanation"


def missing_properties(body: object) -> list[str]:
    """Properties that a refusal says do not exist: that concerns all records."""
    return sorted({
        str(e.get("name") or e.get("propertyName") or "?")
        for e in _entries(body)
        if _NO_SUCH_PROPERTY in (e.get("error"), e.get("code"), e.get("category"), e.get("subCategory"))
    })  # fmt: skip


def _words(entry: Mapping[str, Any]) -> set[str]:
    """Everything that an error says of a record, in pieces that an address or a value can equal."""
    texts = [str(entry.get("message", ""))]
    context = entry.get("context")
    if isinstance(context, Mapping):
        for value in context.values():
            texts += [str(v) for v in value] if isinstance(value, list) else [str(value)]
    pieces = {piece.lower().rstrip(".:") for text in texts for piece in _SEPARATORS.split(text)}
    return (pieces | {text.strip().lower() for text in texts}) - {""}


def _traces(entry: Mapping[str, Any]) -> set[str]:
    context = entry.get("context")
    value = context.get(_TRACE) if isinstance(context, Mapping) else None
    given = value if isinstance(value, list) else [] if value is None else [value]
    return {str(one) for one in given}


def named_records(body: object, records: Sequence[Record]) -> dict[str, str]:
    """Record key → what is wrong, for the records that a refusal of the whole batch names."""
    named: dict[str, str] = {}
    for entry in reversed(list(_entries(body))):  # the innermost says most
        why = str(entry.get("message") or detail_of(body))
        positions = {int(n) for n in _POSITION.findall(str(entry.get("message", "")) + str(entry.get("in", "")))}
        positions |= {int(t) for t in _traces(entry) if t.isdigit()}
        if isinstance(entry.get("index"), int):
            positions.add(entry["index"])
            why = detail_of(entry)
        hit = [records[n] for n in sorted(positions) if n < len(records)]
        words = _words(entry)
        hit += [r for r in records if r.email.lower() in words]
        name = str(entry.get("name") or "")
        if not hit and name:
            hit = [r for r in records if _opening(r.fields.get(name), str(entry.get("message", "")))]
        for record in hit:
            named.setdefault(record.key, why)
    return named


def _opening(value: object, message: str) -> bool:
    """Whether an error's words begin with, or quote, this very value ("asd000 was not a valid long." [recorded])."""
    text = "" if value is None else str(value)
    return bool(text) and (message.startswith(f"{text} ") or f'"{text}"' in message or f"'{text}'" in message)


def class_of(error: object) -> RejectedClass:
    is_for_now = isinstance(error, Mapping) and error.get("category") in _LATER
    return RejectedClass.RETRYABLE if is_for_now else RejectedClass.DATA


def outcomes_of(
    records: Sequence[Record], answer: Any, clean: Callable[[str], str]
) -> tuple[dict[str, Outcome], list[Mapping[str, Any]]]:
    """(record key → its outcome, the results that are ours) of a 200, 201 or 207.

    Results come back in any order [recorded]: they are matched by trace id, which is the position, else by address.
    """
    by_trace = {str(n): r for n, r in enumerate(records)}
    by_email = {r.email.lower(): r for r in records}
    outcomes: dict[str, Outcome] = {}
    results: list[Mapping[str, Any]] = []
    for row in (answer or {}).get("results") or []:
        email = str((row.get("properties") or {}).get("email") or "").lower()
        record = by_trace.get(str(row.get(_TRACE))) or by_email.get(email)
        if record is not None:
            outcomes[record.key] = CONFIRMED
            results.append({**row, "record": record})
    for error in (answer or {}).get("errors") or []:
        hit = [by_trace[t] for t in _traces(error) if t in by_trace]
        hit = hit or [by_email[word] for word in _words(error) if word in by_email]
        for record in hit:
            outcomes[record.key] = Outcome("rejected", class_of(error), clean(detail_of(error)))
    return {r.key: outcomes.get(r.key, UNNAMED) for r in records}, results


def error_by_address(emails: Iterable[str], answer: Any, *, is_absent: bool = False) -> dict[str, str]:
    """Lower-case address → what an answer says against it; or (`is_absent`), that there is no such contact."""
    wanted = set(emails)
    return {
        word: detail_of(error)
        for error in (answer or {}).get("errors") or []
        if (error.get("category") == _ABSENT) == is_absent
        for word in _words(error)
        if word in wanted
    }


def already_there(emails: Sequence[str], answer: Any) -> set[str]:
    """Of these lower-case addresses, those that an answer by address shows, or may show, to be contacts already.

    A contact is found by her further addresses too, and shown with the first one: if somebody is shown whom nobody
    asked for, each address that is not named as absent may be hers.
    """
    shown = {str((row.get("properties") or {}).get("email") or "").lower() for row in answer.get("results") or []}
    found = shown & set(emails)
    if shown - found:
        found |= set(emails) - set(error_by_address(emails, answer, is_absent=True))
    return found
