"""From a record to Klaviyo's bodies: own attributes, custom properties, what empties a field. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from reverse_etl.destination import FieldSpec, Record
from reverse_etl.limits import limit

OWN = frozenset({"first_name", "last_name", "organization", "locale", "title", "image"})
LOCATION = frozenset(
    {"address1", "address2", "city", "country", "region", "zip", "timezone", "ip", "latitude", "longitude"}
)
_COORDINATES = {"location.latitude", "location.longitude"}
TEXT_ATTRIBUTES = sorted((OWN | {f"location.{part}" for part in LOCATION}) - _COORDINATES)
"""Klaviyo's own attributes that take text."""
_NOT_OURS = frozenset(
    {"id", "email", "phone_number", "external_id", "anonymous_id", "_kx", "properties", "subscriptions", "location"}
)
"""What tells profiles apart, and what is no field: writing it could merge people, or say something of consent."""


def is_own(key: str) -> bool:
    """Whether a field is an attribute of Klaviyo's; every other one is a custom property."""
    return key in OWN or (key.startswith("location.") and key.removeprefix("location.") in LOCATION)


def name_problem(spec: FieldSpec) -> str | None:
    """Why a field cannot be written, if it cannot. Properties need no declaration: they exist once they are written."""
    key = spec.key
    if is_own(key):
        if spec.type == "number" and key not in _COORDINATES:
            return f"{key} takes text, not a number"
        return None
    if key.startswith("location."):
        return f"{key} is not a part of a location ({', '.join(sorted(LOCATION))})"
    if key in _NOT_OURS or key.startswith("$"):
        return f"{key} is Klaviyo's own: it identifies people, or speaks of their consent"
    if not key.strip() or key != key.strip() or not key.isprintable():
        return f"'{key}' is not a name"
    most = limit("klaviyo", "property_name_length")
    return f"{key[:20]}… has more than {most} characters" if len(key) > most else None


def value_problem(record: Record) -> str | None:
    """Why a record cannot be sent, if it cannot: JSON has neither infinity nor "not a number"."""
    wrong = [
        key for key, value in record.fields.items() if isinstance(value, float) and not math.isfinite(value)
    ]  # fmt: skip
    return f"{', '.join(wrong)}: not a number that JSON has." if wrong else None


def empties(record: Record) -> bool:
    """Whether a field is to be emptied: a bulk import leaves nulls out of account, so it takes a call of its own."""
    return any(value is None or value == "" for value in record.fields.values())


def profile(record: Record, *, with_nulls: bool = False) -> dict[str, Any]:
    """The record as a profile resource; what is to be emptied is null, or left out."""
    attributes: dict[str, Any] = {"email": record.email.lower()}
    for key, given in record.fields.items():
        value = None if given == "" else given
        if value is None and not with_nulls:
            continue
        if key in OWN:
            attributes[key] = value
        elif is_own(key):
            attributes.setdefault("location", {})[key.removeprefix("location.")] = value
        else:
            attributes.setdefault("properties", {})[key] = value
    return {"type": "profile", "attributes": attributes}


def size(record: Record) -> int:
    """Bytes of a record in the body as it is sent, with the comma that follows it."""
    text = json.dumps(profile(record, with_nulls=True), ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + 1


def field_of(attributes: Mapping[str, Any], key: str) -> Any:
    """The value of one of our fields in a profile that Klaviyo shows."""
    if key in OWN:
        return attributes.get(key)
    if is_own(key):
        return (attributes.get("location") or {}).get(key.removeprefix("location."))
    return (attributes.get("properties") or {}).get(key)


def import_job(records: Sequence[Record]) -> dict[str, Any]:
    """Never with a list: adding people to lists is another operation's business."""
    profiles = {"data": [profile(record) for record in records]}
    return {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": profiles}}}


IMPORT_ENVELOPE = len(json.dumps(import_job([]), separators=(",", ":")))


def _consent(email: str, consent: str) -> dict[str, Any]:
    subscriptions = {"email": {"marketing": {"consent": consent}}}
    return {"type": "profile", "attributes": {"email": email.lower(), "subscriptions": subscriptions}}


def subscription_job(emails: Sequence[str], list_id: str) -> dict[str, Any]:
    """Subscribe to the list by the list's own opt-in process.

    Never a `historical_import`. Its description would fit ("where you have already collected consent"), but it skips
    the double opt-in that the list's owner may have chosen, it skips "added to list" flows, and it needs the instant of
    each consent, which a record does not carry.
    """
    return {
        "data": {
            "type": "profile-subscription-bulk-create-job",
            "attributes": {
                "custom_source": "mailwright",
                "profiles": {"data": [_consent(email, "SUBSCRIBED") for email in emails]},
            },
            "relationships": {"list": {"data": {"type": "list", "id": list_id}}},
        }
    }


def global_unsubscription_job(emails: Sequence[str]) -> dict[str, Any]:
    """End all e-mail marketing to these people, on every list.

    It names no list: with one, members of that list would leave that list alone, and go on getting the mail of the
    others, while everybody else would be unsubscribed globally (the specification's warning). Who withdrew gets none.
    """
    profiles = {"data": [_consent(email, "UNSUBSCRIBED") for email in emails]}
    return {"data": {"type": "profile-subscription-bulk-delete-job", "attributes": {"profiles": profiles}}}
