"""What Mailchimp's answers mean: status → action as a table, and the errors inside a batch.

Statuses and titles: recorded traffic 2021-22 and the vendor's error glossary; codes inside a batch: specification.
Strict about what we send, lenient about what we parse: an unknown title falls back to its status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from reverse_etl.destination import Outcome
from reverse_etl.errors import RejectedClass


class Action(StrEnum):
    """What to do about an answer."""

    DONE = "done"
    THROTTLED = "throttled"
    """Did not happen; again after a pause."""
    UNKNOWN = "unknown"
    """May have happened."""
    STOP = "stop"
    """Nothing will go through until somebody changes key, list or rights."""
    ABSENT = "absent"
    """What the path names does not exist."""
    REJECTED = "rejected"
    """This content is refused."""


@dataclass(frozen=True)
class Meaning:
    """An action, and the class of the rejection where it is one."""

    action: Action
    rejected_class: RejectedClass | None = None


_BY_TITLE: dict[tuple[int, str], Meaning] = {
    (400, "Member In Compliance State"): Meaning(Action.REJECTED, RejectedClass.CONSENT),
    (400, "Forgotten Email Not Subscribed"): Meaning(Action.REJECTED, RejectedClass.CONSENT),
    (400, "Member Exists"): Meaning(Action.REJECTED, RejectedClass.RETRYABLE),
    (400, "Invalid Resource"): Meaning(Action.REJECTED, RejectedClass.DATA),
    (403, "User Disabled"): Meaning(Action.STOP),
}
_BY_STATUS: dict[int, Meaning] = {
    400: Meaning(Action.REJECTED, RejectedClass.DATA),
    401: Meaning(Action.STOP),
    403: Meaning(Action.STOP),
    404: Meaning(Action.ABSENT),
    405: Meaning(Action.REJECTED, RejectedClass.CONSENT),
    414: Meaning(Action.REJECTED, RejectedClass.DATA),
    422: Meaning(Action.REJECTED, RejectedClass.DATA),
    429: Meaning(Action.THROTTLED),
}


def title_of(body: object) -> str:
    return str(body.get("title", "")) if isinstance(body, Mapping) else ""


def meaning(status: int, body: object) -> Meaning:
    """The meaning of a whole answer; `body` is its parsed JSON, or None."""
    if status < 300:
        return Meaning(Action.DONE)
    if status == 403 and body is None:
        return Meaning(Action.THROTTLED)
    if status >= 500:
        return Meaning(Action.UNKNOWN)
    fallback = _BY_STATUS.get(status, Meaning(Action.REJECTED, RejectedClass.CONFIG))
    return _BY_TITLE.get((status, title_of(body)), fallback)


def is_throttle(response: httpx.Response) -> bool:
    """429, or a 403 that has no JSON body (vendor's guide to bulk jobs)."""
    if response.status_code == 429:
        return True
    return response.status_code == 403 and "json" not in response.headers.get("content-type", "")


def detail_of(body: object) -> str:
    """Title, detail and field errors of a problem document, in one line (addresses are still inside)."""
    if not isinstance(body, Mapping):
        return "no explanation"
    fields = [
        f"{e.get('field', '')}: {e.get('message', '')}" for e in body.get("errors") or [] if isinstance(e, Mapping)
    ]
    parts = [title_of(body), str(body.get("detail", "")), "; ".join(fields)]
    return ". ".join(part.rstrip(".") for part in parts if part)


_CONSENT_WORDS = ("compliance state", "permanently deleted", "has been banned", "unsubscribed")


def outcome_of_error(error: Mapping[str, Any], clean: Callable[[str], str]) -> Outcome:
    """An entry of `errors` in a batch's answer.

    There are two codes alone [specification]; what a generic one is about stands in its words.
    """
    words = str(error.get("error", ""))
    about = f"{error['field']}: {error.get('field_message', '')}" if error.get("field") else ""
    message = clean(". ".join(part.rstrip(".") for part in (words, about) if part))
    if error.get("error_code") == "ERROR_CONTACT_EXISTS":
        # somebody, or a request of ours that was never answered, was faster: the next pass sees the member
        return Outcome("rejected", RejectedClass.RETRYABLE, message)
    if any(word in words.lower() for word in _CONSENT_WORDS):
        return Outcome("rejected", RejectedClass.CONSENT, message)
    return Outcome("rejected", RejectedClass.DATA, message)
