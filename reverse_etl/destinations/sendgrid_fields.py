"""Fields of a SendGrid contact: a declaration names them, reserved ones go by name, custom ones by the vendor's id."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from reverse_etl.destination import FieldSpec, Record, label_of
from reverse_etl.destinations.sendgrid_api import KIND, Api
from reverse_etl.errors import DestinationConfigError
from reverse_etl.limits import limit, limits_of

PATH = "/marketing/field_definitions"
RESERVED = (
    "first_name", "last_name", "address_line_1", "address_line_2", "city", "state_province_region", "postal_code",
    "country",
)  # fmt: skip
"""Those that a contact may be sent with [specification]; identifiers, and what the vendor fills, are not ours."""
_TYPES = {"number": "Number", "date": "Date"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _type(spec: FieldSpec) -> str:
    return _TYPES.get(spec.type, "Text")


def can_be_emptied(kind: str) -> bool:
    """How to empty a number or a date is documented nowhere."""
    return kind not in _TYPES


class Fields:
    """The account's fields, as last read."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._custom: dict[str, str] = {}
        """Name → id."""

    def all(self) -> list[FieldSpec]:
        """What is there and may be written; custom fields with their types."""
        body = self._api.ask("GET", PATH)
        kinds = {there: kind for kind, there in _TYPES.items()}
        own = [FieldSpec(name, label_of(name), "text") for name in RESERVED]
        custom = body.get("custom_fields") or []
        return own + [FieldSpec(r["name"], r["name"], kinds.get(r["field_type"], "text")) for r in custom]

    def missing(self, specs: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        """Fields that have to be created; refuses what does not fit, or could not be created or emptied."""
        body = self._api.ask("GET", PATH)
        custom = {row["name"]: row for row in body.get("custom_fields") or []}
        taken = {row["name"].lower() for row in body.get("reserved_fields") or []} - set(RESERVED)
        spelt = {name.lower(): name for name in custom}
        self._custom = {name: str(row["id"]) for name, row in custom.items()}
        wrong: list[str] = []
        missing: list[FieldSpec] = []
        for spec in specs:
            name, there = spec.key, spelt.get(spec.key.lower())
            if spec.is_emptied and not can_be_emptied(spec.type):
                wrong.append(
                    f"{name} is of type {spec.type}, and SendGrid documents no way to empty such a field "
                    "(use `on_null: keep`, or type text)"
                )
            if name in RESERVED:
                if _type(spec) != "Text":
                    wrong.append(f"{name} is of type Text there and {_type(spec)} here")
            elif name.lower() in taken or name.lower() in RESERVED:
                wrong.append(f"{name} is a name that SendGrid keeps for itself")
            elif there is None:
                missing.append(spec)
                if not _NAME.fullmatch(name) or len(name) > limit(KIND, "field_name_length"):
                    most = limit(KIND, "field_name_length")
                    wrong.append(f"{name} is no name (at most {most} of A-Z, a-z, 0-9, _; no digit first)")
            elif there != name:
                wrong.append(f"{name} is spelt {there} there, and names that differ in case alone cannot both exist")
            elif custom[name]["field_type"] != _type(spec):
                wrong.append(f"{name} is of type {custom[name]['field_type']} there and {_type(spec)} here")
        most = limit(KIND, "custom_fields")
        if len(custom) + len(missing) > most:
            wrong.append(f"{len(custom)} fields are there, {len(missing)} more are needed, {most} are allowed")
        if wrong:
            raise DestinationConfigError(
                f"The account's fields do not fit the sync: {'; '.join(wrong)}.",
                where=f"{self._api.http.where}{PATH}",
                todo="change the sync's `fields`, or the account's",
            )
        return tuple(missing)

    def create(self, spec: FieldSpec) -> None:
        # not repeatable: a second one would fail with "already exists"; the next run sees what is there
        body = {"name": spec.key, "field_type": _type(spec)}
        self._custom[spec.key] = str(self._api.ask("POST", PATH, json=body, repeatable=False)["id"])

    def know(self, names: Iterable[str]) -> None:
        """Make sure that the ids of these fields are known.

        Raises:
            DestinationConfigError: one of them is not there (any more).
        """
        wanted = set(names) - set(RESERVED)
        if wanted <= self._custom.keys():
            return
        body = self._api.ask("GET", PATH)
        self._custom = {row["name"]: str(row["id"]) for row in body.get("custom_fields") or []}
        gone = sorted(wanted - self._custom.keys())
        if gone:
            raise DestinationConfigError(
                f"The account has no field {', '.join(gone)} (any more).",
                where=f"{self._api.http.where}{PATH}",
                todo="run `mailwright plan`: it looks again at what is there",
            )

    def keys_of(self, name: str) -> tuple[str, ...]:
        """What a field may be called where a contact is shown."""
        return (name, self._custom[name]) if name in self._custom else (name,)

    def contact(self, record: Record) -> dict[str, Any]:
        """A record as it is sent; an empty string empties a text field [recorded]."""
        contact: dict[str, Any] = {"email": record.email.lower()}
        custom: dict[str, Any] = {}
        for name, value in record.fields.items():
            if name in RESERVED:
                contact[name] = value
            else:
                custom[self._custom.get(name, name)] = value
        return {**contact, "custom_fields": custom} if custom else contact

    @staticmethod
    def flaw(record: Record) -> str | None:
        """What is wrong with a record's values, if the vendor could not take them."""
        limits = limits_of(KIND)
        for name, value in record.fields.items():
            most = limits.get(f"{name}_length") if name in RESERVED else None
            if most is not None and len(str(value)) > most.value:
                return f"{name} has {len(str(value))} characters; the destination takes {most.value:.0f}."
            if isinstance(value, float) and not math.isfinite(value):
                return f"{name} is no number that can be sent."
        return None
