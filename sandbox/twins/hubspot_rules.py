"""Which contacts and properties the HubSpot twin accepts, and how it words what it does not.

Sources: [rec] recorded traffic 2021-22; [sdk] shapes of the vendor's API client 12.0.0; [vdoc] the vendor's pages;
[com] answers that users pasted into the vendor's forum; [unv] not verified against the live API.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse

from sandbox.twins.hubspot_store import Contact, Store

MAX_BATCH = 100  # [vdoc] guide to contacts
MAX_PAGE = 100  # [vdoc]
MAX_SEARCH_PAGE = 200  # [vdoc]
MAX_SEARCH_RESULTS = 10_000  # [vdoc] beyond them: 400
MAX_LIST_PAGE = 500  # [unv]
MAX_TEXT = 65_536  # [vdoc]

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\\"]+@[^@\s,;<>()\[\]\\\".]+(\.[^@\s,;<>()\[\]\\\".]+)+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")  # [vdoc] lower case; length [unv]
_KINDS = {"string": {"text", "textarea"}, "number": {"number"}, "date": {"date"}, "datetime": {"date"}}


def error(
    status: int, category: str, message: str, *, context: Mapping[str, list[str]] | None = None, **more: Any
) -> JSONResponse:
    """The vendor's error [rec] [sdk]."""
    body: dict[str, Any] = {"status": "error", "message": message, "correlationId": str(uuid.uuid4())}
    return JSONResponse({**body, "category": category, **({"context": context} if context else {}), **more}, status)


def not_found() -> JSONResponse:
    return error(404, "OBJECT_NOT_FOUND", "resource not found")  # [unv] wording


def is_email(text: object) -> bool:
    return isinstance(text, str) and bool(_EMAIL.fullmatch(text))


def is_event_name(text: str) -> bool:
    """[vdoc] The full name of a custom event: pe, the account's id, _, the name; nobody asks whether it was defined."""
    return bool(re.fullmatch(r"pe\d+_[a-z0-9_]+", text))


def is_email_of_contact(text: object) -> bool:
    """[com] a valid top-level domain is needed; here, `invalid` is none. That subscriptions do without is [unv]."""
    return is_email(text) and not str(text).lower().endswith(".invalid")


def flaw_of_value(kind: str, name: str, value: str) -> dict[str, Any] | None:
    """What is wrong with a property's value, in the form that is recorded for contacts of v1."""
    if value == "":
        return None  # [rec] clears
    if kind == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return _flaw(name, "INVALID_DOUBLE", f"{value} was not a valid number.")  # [unv] wording of numbers
    if kind == "date" and not _is_midnight(value):
        return _flaw(name, "INVALID_DATE", f"{value} is at a time that is not midnight UTC.")  # [unv] wording
    if len(value) > MAX_TEXT:
        return _flaw(name, "INVALID_LENGTH", f"{name} is too long.")  # [unv] wording
    return None


def _flaw(name: str, code: str, message: str) -> dict[str, Any]:
    return {"isValid": False, "message": message, "error": code, "name": name}  # [rec] [com]


def _is_midnight(value: str) -> bool:
    """[vdoc] ISO 8601, or milliseconds at midnight UTC."""
    if re.fullmatch(r"-?\d+", value):
        return int(value) % 86_400_000 == 0
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return False
    return (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)


def flaws_of_upsert(store: Store, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = store.properties()
    flaws: list[dict[str, Any]] = []
    if not is_email_of_contact(record.get("id")):
        flaws.append(_flaw("email", "INVALID_EMAIL", f"Email address {record.get('id')} is invalid"))  # [rec] [com]
    for name, value in record["properties"].items():
        definition = known.get(name)
        if definition is None:
            flaws.append(_flaw(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))  # [com]
        elif definition["modificationMetadata"]["readOnlyValue"]:
            flaws.append(_flaw(name, "READ_ONLY_VALUE", f'"{name}" is a read only property'))  # [unv] wording
        elif (flaw := flaw_of_value(definition["type"], name, value)) is not None:
            flaws.append(flaw)
    return flaws


def invalid_values(flaws: list[dict[str, Any]]) -> str:
    """The message in which v3 carries them [com]."""
    return f"Property values were not valid: {json.dumps(flaws, ensure_ascii=False, separators=(',', ':'))}"


def apply(contact: Contact, given: Mapping[str, str]) -> Contact:
    """An empty string clears [rec]."""
    properties = {**contact.properties, **given}
    contact.properties = {name: value for name, value in properties.items() if value != ""}
    return contact


def document(shown: Mapping[str, str | None], wanted: list[str]) -> dict[str, Any]:
    """A contact with the properties that were asked for: unset ones are null, three are always there [rec]; what does
    not exist is left out (vendor's reference: ignored)."""
    names = sorted({*wanted, "createdate", "hs_object_id", "lastmodifieddate"})
    return {
        "id": shown["hs_object_id"],
        "properties": {name: shown.get(name) for name in names},
        "createdAt": shown["createdate"],
        "updatedAt": shown["lastmodifieddate"],
        "archived": False,
    }


def flaw_of_property(store: Store, given: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """(status, category, message)."""
    name = str(given.get("name", ""))
    if not _NAME.fullmatch(name):
        return 400, "VALIDATION_ERROR", f"Property name {name} is invalid"  # [unv] wording
    if given.get("fieldType") not in _KINDS.get(str(given.get("type")), set()) or not given.get("label"):
        return 400, "VALIDATION_ERROR", "label, type and a fieldType that fits it are needed"  # [sdk] wording [unv]
    if given.get("groupName") not in store.groups():
        return 400, "VALIDATION_ERROR", "the property group does not exist"  # [unv] wording
    if name in store.properties():
        return 409, "CONFLICT", f"A property named '{name}' already exists"  # [unv] wording
    return None


def milliseconds(text: str | None) -> float | None:
    """A number, or an instant in milliseconds, for the comparisons of a search."""
    if text is None:
        return None
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000
    except ValueError:
        return None


def matches(shown: Mapping[str, str | None], given: Mapping[str, Any]) -> bool:
    """One filter of a search [sdk]; the operators that a sync needs."""
    value = shown.get(given["propertyName"])
    operator = given["operator"]
    if operator == "HAS_PROPERTY":
        return value is not None
    if operator == "NOT_HAS_PROPERTY":
        return value is None
    if operator == "EQ":
        return value is not None and value == given.get("value")
    have, wanted = milliseconds(value), milliseconds(given.get("value"))
    if have is None or wanted is None:
        return False
    compared = {"GTE": have >= wanted, "GT": have > wanted, "LTE": have <= wanted, "LT": have < wanted}
    if operator not in compared:
        raise ValueError(operator)
    return compared[operator]
