"""HubSpot's custom events: `POST /events/v3/send`, one occurrence each (Enterprise editions alone).

A request may carry a `uuid`, of which the reference says nothing: not that an occurrence which is sent twice with it
arrives once [unverified]. So we send it, and do not rely on it: an occurrence that was not answered is never sent
again. Not through `/send/batch` either: it answers 204, or an error, for all of them together, and what a refusal
leaves done is not documented.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from reverse_etl.destination import CONFIRMED, Event, Outcome
from reverse_etl.destinations.hubspot_answers import class_of, detail_of
from reverse_etl.destinations.hubspot_api import KIND, Api
from reverse_etl.errors import DestinationConfigError
from reverse_etl.events import as_text
from reverse_etl.limits import limit

PATH = "/events/v3/send"
_NAME = re.compile(r"pe\d+_[a-z0-9_]+")
_PROPERTY = re.compile(r"[a-z][a-z0-9_]*")


def check(names: Sequence[str], properties: Sequence[str]) -> None:
    """
    Raises:
        DestinationConfigError: an event, or a property, cannot be called that.
    """
    wrong = [f"{name} is no full name of an event (pe, the account's id, _, the name)" for name in names
             if not _NAME.fullmatch(name)]  # fmt: skip
    most = limit(KIND, "event_property_name_length")
    wrong += [f"{name} is no name of a property (at most {most} of a-z, 0-9, _)" for name in properties
              if not _PROPERTY.fullmatch(name) or len(name) > most]  # fmt: skip
    if len(properties) > limit(KIND, "event_properties"):
        wrong.append(f"an event has at most {limit(KIND, 'event_properties')} properties")
    if wrong:
        raise DestinationConfigError(
            f"The sync's events do not fit HubSpot's: {'; '.join(wrong)}.", todo="change the sync's `events`"
        )


def body_of(event: Event, contact_id: str) -> dict[str, Any]:
    """About a contact by her id: by an address, an event could create whoever is not there [unverified]."""
    return {
        "eventName": event.name,
        "objectId": contact_id,
        "occurredAt": event.occurred_at.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "properties": {name: as_text(value) for name, value in event.fields.items()},
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, event.key)),
    }


def send(api: Api, event: Event, contact_id: str) -> Outcome:
    """Raises as `Api.send`, and DestinationConfigError where the account takes no events."""
    status, answer = api.send("POST", PATH, json=body_of(event, contact_id), repeatable=False)
    if status < 300:
        return CONFIRMED
    if status == 403:
        raise DestinationConfigError(
            f"The HubSpot account, or its token, may not send events: {api.http.clean(detail_of(answer))}",
            where=f"{api.http.where}{PATH}",
            todo="give its app analytics.behavioral_events.send; custom events need an Enterprise edition",
        )
    if status == 401:
        raise api.refusal(status, answer)
    return Outcome("rejected", class_of(answer), api.http.clean(detail_of(answer)))
