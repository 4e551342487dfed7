"""Klaviyo's events, known by `unique_id`: many at once when they are sent first, one by one when they may be there.

Two facts shape this module (specification of revision 2026-07-15):
- `POST /events`: of a unique_id that is repeated for a profile and metric, "only the first processed event will be
  recorded"; in `POST /event-bulk-create-jobs` "the request will fail and no events will be processed". So a bulk
  request is never repeated, and holds no event that may have arrived before;
- a bulk request has no job that one could ask about: that it was taken (202) is the last word there is.

A profile is named by its id alone: by an address, an event would create whoever is not there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from reverse_etl.destination import CONFIRMED, BatchOutcome, Event, Outcome, Record
from reverse_etl.destinations.klaviyo_answers import Action, action_of, body_of, detail_of
from reverse_etl.destinations.klaviyo_client import KIND, Client
from reverse_etl.errors import DestinationConfigError, RejectedClass
from reverse_etl.events import one_by_one
from reverse_etl.limits import limit

UNSEEN = Outcome("rejected", RejectedClass.RETRYABLE, "The destination's id of this person is not known yet.")


def check(names: Sequence[str], properties: Sequence[str]) -> None:
    """
    Raises:
        DestinationConfigError: an event cannot be called that, or has too many properties.
    """
    most = limit(KIND, "metric_name_length")
    wrong = [f"{name[:20]}… has more than {most} characters" for name in names if len(name) > most]
    if len(properties) > limit(KIND, "event_properties"):
        wrong.append(f"an event has at most {limit(KIND, 'event_properties')} properties")
    if wrong:
        raise DestinationConfigError(
            f"The sync's events do not fit Klaviyo's metrics: {'; '.join(wrong)}.", todo="change the sync's `events`"
        )


def _attributes(event: Event) -> dict[str, Any]:
    return {
        "metric": {"data": {"type": "metric", "attributes": {"name": event.name}}},
        "properties": dict(event.fields),
        "time": event.occurred_at.replace(tzinfo=UTC).isoformat(),
        "unique_id": event.key,
    }


def _profile(record: Record) -> dict[str, Any]:
    return {"data": {"type": "profile", "id": record.remote_id, "attributes": {}}}


def single(event: Event) -> dict[str, Any]:
    return {"data": {"type": "event", "attributes": {**_attributes(event), "profile": _profile(event)}}}


def bulk(events: Sequence[Event]) -> dict[str, Any]:
    """One entry per profile."""
    by_profile: dict[str | None, list[Event]] = {}
    for event in events:
        by_profile.setdefault(event.remote_id, []).append(event)
    entries = [
        {
            "type": "event-bulk-create",
            "attributes": {
                "profile": _profile(some[0]),
                "events": {"data": [{"type": "event", "attributes": _attributes(event)} for event in some]},
            },
        }
        for some in by_profile.values()
    ]
    return {"data": {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": entries}}}}


ENVELOPE = len(json.dumps(bulk([]), separators=(",", ":")))


def size(record: Record) -> int:
    """Bytes of an event in a bulk request, with the comma that follows it: as if it were her only one."""
    assert isinstance(record, Event)
    text = json.dumps(bulk([record]), ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) - ENVELOPE + 1


def _value_problem(event: Event) -> str | None:
    most = limit(KIND, "event_string_bytes")
    long = [name for name, value in event.fields.items() if isinstance(value, str) and len(value.encode()) > most]
    return f"{', '.join(long)}: more than {most} bytes." if long else None


def send(client: Client, events: Sequence[Event]) -> BatchOutcome:
    """Never raises for an event."""
    outcomes: dict[str, Outcome] = {}
    for event in events:
        problem = _value_problem(event)
        if not event.remote_id:
            outcomes[event.key] = UNSEEN
        elif problem is not None:
            outcomes[event.key] = Outcome("rejected", RejectedClass.DATA, problem)
    fit = [event for event in events if event.key not in outcomes]

    def again(event: Event) -> Outcome:
        response = client.request("POST", "/events", json=single(event))
        action, answer = action_of(response.status_code), body_of(response)
        if action is Action.STOP:
            raise client.refusal(response.status_code, answer)
        if action is Action.DONE:
            return CONFIRMED
        return Outcome("rejected", RejectedClass.DATA, client.http.clean(detail_of(answer)))

    repeated = one_by_one([event for event in fit if event.may_be_there], again)
    outcomes |= {event.key: repeated.of(event.key) for event in fit if event.may_be_there}
    fresh = [event for event in fit if not event.may_be_there]
    if repeated.stop is not None:
        return BatchOutcome(repeated.default, outcomes, stop=repeated.stop)
    delivery = client.deliver(
        "POST",
        "/event-bulk-create-jobs",
        fresh,
        lambda part: bulk([event for event in part if isinstance(event, Event)]),
        repeatable=False,
        on_absent=lambda: None,
    )
    return BatchOutcome(CONFIRMED, outcomes | delivery.exceptions, stop=delivery.stop)
