"""What Klaviyo's answers mean: statuses of requests, the standing of a profile, the errors of an import.

Names and shapes: specification of revision 2026-07-15. Strict about what we send, lenient about what we parse: a
reason or consent that is not known here never counts as "may be mailed".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx

from reverse_etl.destination import Outcome
from reverse_etl.errors import RejectedClass


class Action(StrEnum):
    """What to do about an answer; throttles and 5xx are dealt with before."""

    DONE = "done"
    STOP = "stop"
    """Nothing will go through until somebody changes key or rights."""
    ABSENT = "absent"
    """What the path (or a relationship) names does not exist."""
    REJECTED = "rejected"
    """This content is refused."""


def action_of(status: int) -> Action:
    if status < 300:
        return Action.DONE
    if status in {401, 403}:
        return Action.STOP
    return Action.ABSENT if status == 404 else Action.REJECTED


def body_of(response: httpx.Response) -> Any:
    """Parsed JSON, or None where there is none."""
    try:
        return response.json() if response.content else None
    except ValueError:
        return None


def errors_of(body: object) -> list[Mapping[str, Any]]:
    """The entries of a JSON:API error document."""
    found = body.get("errors") if isinstance(body, Mapping) else None
    return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []


def detail_of(body: object) -> str:
    """All errors of a document in one line (addresses are still inside)."""
    lines = [_words(e) for e in errors_of(body)]
    return "; ".join(line for line in lines if line) or "no explanation"


def _words(error: Mapping[str, Any]) -> str:
    parts = [str(error.get("title") or ""), str(error.get("detail") or "")]
    return ". ".join(part.rstrip(".") for part in parts if part)


_POSITION = re.compile(r"/data/(?:attributes/profiles/data/)?(\d+)(?:/|$)")


def position_of(error: Mapping[str, Any]) -> int | None:
    """Which record of a request an error is about, by its pointer (/data/attributes/profiles/data/7/…, /data/7)."""
    source = error.get("source")
    pointer = str(source.get("pointer") or "") if isinstance(source, Mapping) else ""
    found = _POSITION.match(pointer)
    return int(found.group(1)) if found else None


_PASSING = re.compile(r"internal|timeout|timed out|try again|temporar|throttl", re.IGNORECASE)


def outcome_of_error(error: Mapping[str, Any], clean: Callable[[str], str]) -> Outcome:
    """An error that is about one record: its content is at fault, unless the words say that the trouble will pass.

    Codes are not listed in the specification; the words are [unverified].
    """
    words = _words(error)
    passes = _PASSING.search(f"{error.get('code', '')} {words}")
    return Outcome("rejected", RejectedClass.RETRYABLE if passes else RejectedClass.DATA, clean(words))


# reasons of suppressions: the person's own word, or the end of the address
_HER_WORD = {"UNSUBSCRIBE", "SPAM_COMPLAINT", "SPAM_REPORT", "USER_SUPPRESSED"}
_BOUNCES = {"HARD_BOUNCE", "INVALID_EMAIL"}


@dataclass(frozen=True)
class Standing:
    """How a profile stands towards our mail; `since` when, where that is known."""

    status: str
    """subscribed | never_subscribed | unsubscribed | cleaned | suppressed | unknown"""
    since: datetime | None = None


def instant(text: object) -> datetime | None:
    """An ISO 8601 instant as naive UTC; Klaviyo leaves the offset out at times, and means UTC."""
    if not isinstance(text, str) or not text:
        return None
    parsed = datetime.fromisoformat(text)
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


def standing_of(attributes: Mapping[str, Any], list_id: str) -> Standing:
    """What `subscriptions.email.marketing` says of somebody, the most restrictive word first.

    Her own word (unsubscribed, complained, suppressed by hand, or left our list) outranks a bounce, which outranks a
    subscription. Who never subscribed is neither: campaigns *can* reach her (help.klaviyo.com, "Understanding consent
    in profiles": never subscribed profiles are able to receive e-mails), so she is no `transactional` member, whom the
    engine puts into segments: her fields are kept up to date, and segments have to wait until she is subscribed.
    """
    subscriptions = attributes.get("subscriptions") or {}
    marketing = (subscriptions.get("email") or {}).get("marketing") or {}
    suppressions = [s for s in marketing.get("suppression") or [] if isinstance(s, Mapping)]
    left = [
        s
        for s in marketing.get("list_suppressions") or []
        if isinstance(s, Mapping) and s.get("list_id") == list_id and s.get("reason") not in _BOUNCES
    ]
    said = [s for s in suppressions if s.get("reason") in _HER_WORD] + left
    changed = instant(marketing.get("consent_timestamp")) or instant(marketing.get("last_updated"))
    consent = marketing.get("consent")
    if said:
        return Standing("unsubscribed", _newest(said))
    if consent == "UNSUBSCRIBED":
        return Standing("unsubscribed", changed)
    bounced = [s for s in suppressions if s.get("reason") in _BOUNCES]
    if bounced:
        return Standing("cleaned", _newest(bounced))
    if suppressions or marketing.get("can_receive_email_marketing") is False:
        return Standing("suppressed", changed)
    if consent == "SUBSCRIBED":
        return Standing("subscribed", changed)
    return Standing("never_subscribed" if consent == "NEVER_SUBSCRIBED" else "unknown", changed)


def _newest(suppressions: list[Mapping[str, Any]]) -> datetime | None:
    instants = [found for s in suppressions if (found := instant(s.get("timestamp"))) is not None]
    return max(instants, default=None)
