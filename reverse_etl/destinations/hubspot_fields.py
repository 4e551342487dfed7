"""Contact properties: which ones a sync may write, and how their values are sent.

Standard properties (firstname, city) are the account's own; ours start with a prefix, and are kept in a group of ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from reverse_etl.destination import FieldSpec, Record
from reverse_etl.destinations.hubspot_api import KIND, Api
from reverse_etl.errors import DestinationConfigError
from reverse_etl.limits import limit

PATH = "/crm/v3/properties/contacts"
PREFIX = "mw_"
GROUP = "mailwright"
NOT_OURS = ("email", "createdate", "lastmodifieddate")
"""The key of a contact, and what the vendor writes itself; names that start with `hs_` are the vendor's too."""

_TYPES = {"number": ("number", "number"), "date": ("date", "date")}
_TEXT = ("string", "text")
_OURS = re.compile(re.escape(PREFIX) + r"[a-z0-9_]+")


def _type(spec: FieldSpec) -> tuple[str, str]:
    """(type, fieldType) there."""
    return _TYPES.get(spec.type, _TEXT)


def writable(api: Api) -> list[FieldSpec]:
    """Properties that a sync may write, with the types that a declaration gives them."""
    kinds = {there: kind for kind, (there, _) in _TYPES.items()} | {_TEXT[0]: "text"}
    return [
        FieldSpec(row["name"], row.get("label") or row["name"], kinds[row["type"]])
        for row in api.ask("GET", PATH).get("results") or []
        if row["type"] in kinds and not _is_theirs(row["name"]) and not (row.get("calculated") or _is_read_only(row))
    ]


def _is_theirs(name: str) -> bool:
    return name in NOT_OURS or name.startswith("hs_")


def missing(api: Api, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
    """Fields that have to be created.

    Raises:
        DestinationConfigError: one exists with another type, cannot be written, or could not be created.
    """
    body = api.ask("GET", PATH)
    existing = {row["name"]: row for row in body.get("results") or []}
    wrong: list[str] = []
    for spec in fields:
        row = existing.get(spec.key)
        if _is_theirs(spec.key):
            wrong.append(f"{spec.key} is HubSpot's own")
        elif row is None and (not _OURS.fullmatch(spec.key) or len(spec.key) > limit(KIND, "property_name_length")):
            wrong.append(
                f"{spec.key} is not there, and not a name that we create ({PREFIX} and at most "
                f"{limit(KIND, 'property_name_length')} of a-z, 0-9, _ in all)"
            )
        elif row is not None and row["type"] != _type(spec)[0]:
            wrong.append(f"{spec.key} is of type {row['type']} there and {_type(spec)[0]} here")
        elif row is not None and (row.get("calculated") or _is_read_only(row)):
            wrong.append(f"{spec.key} cannot be written")
    if wrong:
        raise DestinationConfigError(
            f"The account's contact properties do not fit the sync: {'; '.join(wrong)}.",
            where=f"{api.http.where}{PATH}",
            todo="change the sync's `fields`, or the account's properties",
        )
    return tuple(spec for spec in fields if spec.key not in existing)


def _is_read_only(row: dict[str, Any]) -> bool:
    return bool((row.get("modificationMetadata") or {}).get("readOnlyValue"))


def create(api: Api, fields: Sequence[FieldSpec]) -> None:
    """Not repeatable: what exists is refused, and the next run sees what is there."""
    groups = api.ask("GET", f"{PATH}/groups").get("results") or []
    if fields and not any(row.get("name") == GROUP for row in groups):
        api.ask("POST", f"{PATH}/groups", json={"name": GROUP, "label": "Mailwright"}, repeatable=False)
    size = limit(KIND, "properties_per_batch")
    for at in range(0, len(fields), size):
        inputs = [
            {"name": s.key, "label": s.name, "type": _type(s)[0], "fieldType": _type(s)[1], "groupName": GROUP}
            for s in fields[at : at + size]
        ]
        status, body = api.send("POST", f"{PATH}/batch/create", json={"inputs": inputs}, repeatable=False)
        if status >= 300 or (body or {}).get("errors"):
            raise api.refusal(status, body)


def as_text(value: Any) -> str:
    """As HubSpot takes it: every value is a string; dates are ISO 8601 days, which are midnight in UTC there (vendor's
    page on properties); an empty string clears [recorded]."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)


def flaw(record: Record) -> str | None:
    """What is wrong with a record's values, if the vendor could not take them."""
    most = limit(KIND, "text_length")
    for name, value in record.fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} is no number that can be sent."
        if len(as_text(value)) > most:
            return f"{name} has {len(as_text(value))} characters; the destination takes {most}."
    return None
