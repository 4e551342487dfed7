"""Mailchimp's events: `POST /lists/{list_id}/members/{subscriber_hash}/events`, one member and event each.

There is no key: an event that is sent twice is there twice, and starts an automation twice [specification: the body
has name, properties, occurred_at and is_syncing, and nothing that identifies it].
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from reverse_etl.destination import CONFIRMED, Event, Outcome
from reverse_etl.destinations.mailchimp_answers import Action, Meaning, detail_of
from reverse_etl.errors import DestinationConfigError, RejectedClass
from reverse_etl.events import as_text
from reverse_etl.limits import limit

ABSENT = Outcome("rejected", RejectedClass.RETRYABLE, "The destination does not have this member (any more).")


def check(names: Sequence[str]) -> None:
    """
    Raises:
        DestinationConfigError: an event cannot be called that.
    """
    shortest, longest = limit("mailchimp", "event_name_shortest"), limit("mailchimp", "event_name_longest")
    wrong = [name for name in names if not shortest <= len(name) <= longest]
    if wrong:
        raise DestinationConfigError(
            f"Names of Mailchimp's events have {shortest} to {longest} characters: {', '.join(wrong)}.",
            todo="change `name` in the sync's `events`",
        )


def body_of(event: Event) -> dict[str, Any]:
    body: dict[str, Any] = {"name": event.name, "occurred_at": event.occurred_at.replace(tzinfo=UTC).isoformat()}
    if event.fields:
        body["properties"] = {name: as_text(value) for name, value in event.fields.items()}
    return body


def outcome_of(found: Meaning, answer: object) -> Outcome:
    """How an event ended whose request was answered, by an answer that is about the event or its member."""
    if found.action is Action.DONE:
        return CONFIRMED
    if found.action is Action.ABSENT:
        return ABSENT
    return Outcome("rejected", found.rejected_class, detail_of(answer))
