"""From a row of the activation model to the fields of a record: types, lengths, null policies. Pure functions."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from reverse_etl.declaration import EMPTYING, FieldMapping, SyncDeclaration
from reverse_etl.destination import Operation

Formats = Sequence[tuple[FieldMapping, Callable[[Any], str | int | float | None]]]
"""The columns of a sync, each with what makes a field's value of its value."""

_REMEMBERED = 10_000
"""Values per column: cities, dates and scores come again and again, and to look one up takes a tenth of making it."""
_LOOK_AS_THEY_ARE = {str, int, bool, float, date, datetime, Decimal}
"""Types of which, in one column, equal values look the same: not times with a zone, 10:00+00 being 11:00+01."""
_JOINS = {"\u200d", "\ufe0e", "\ufe0f"}  # zero-width joiner and variation selectors hold one visible sign together


def cut(text: str, most: int, unit: str = "bytes") -> str:
    """`text` with at most `most` characters or UTF-8 bytes, cut before a visible sign, never inside one.

    A sign of several code points (a flag, a family, a letter with combining marks) is kept whole or left out.
    """
    if len(text) <= most and (unit == "characters" or text.isascii() or len(text.encode()) <= most):
        return text
    if unit == "characters":
        end = most
    else:
        end = len(text.encode()[:most].decode(errors="ignore"))
    while end > 0 and _continues(text, end):
        end -= 1
    return text[:end].rstrip()


def _continues(text: str, at: int) -> bool:
    """Whether the sign before position `at` goes on at `at`."""
    if at >= len(text):
        return False
    here, before = text[at], text[at - 1]
    if here in _JOINS or before == "\u200d" or unicodedata.combining(here):
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff":  # skin tone of the sign before
        return True
    if _is_flag_half(here) and _is_flag_half(before):
        start = at
        while start > 0 and _is_flag_half(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    return False


def _is_flag_half(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _printable(text: str) -> str:
    """Without control characters and lone surrogates; marks of writing direction stay, names need them."""
    if text.isprintable() and "  " not in text:  # nearly always, and much faster
        return text.strip()
    kept = "".join(c if unicodedata.category(c) not in {"Cc", "Cs"} else " " for c in text)
    return " ".join(kept.split())


def format_value(mapping: FieldMapping, value: Any) -> str | int | float | None:
    """The value as the destination takes it, or None if there is none.

    Dates as YYYY-MM-DD; decimals keep their scale in text ("12.50"); links that are too long are left out, since
    half a link leads nowhere.
    """
    if value is None:
        return None
    if isinstance(value, float):
        value += 0.0  # there is no minus nothing: it equals 0.0, and must look like it
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        return None  # what is no number is no value, and no JSON
    if mapping.type == "number":
        return float(value) if isinstance(value, (float, Decimal)) else int(value)
    if mapping.type == "date":
        text = value.strftime("%Y-%m-%d") if isinstance(value, (date, datetime)) else str(value)[:10]
        return text or None
    text = _printable(format(value, "f") if isinstance(value, Decimal) else str(value))
    if mapping.max_length is not None:
        shorter = cut(text, mapping.max_length, mapping.length_unit)
        if mapping.type in {"url", "imageurl"} and shorter != text:
            return None
        text = shorter
    return text or None


def formats_of(declaration: SyncDeclaration) -> Formats:
    """For the rows of one model."""
    return [(mapping, _remembering(mapping)) for mapping in declaration.fields]


def _remembering(mapping: FieldMapping) -> Callable[[Any], str | int | float | None]:
    known = functools.lru_cache(_REMEMBERED, typed=True)(functools.partial(format_value, mapping))

    def format_(value: Any) -> str | int | float | None:
        return known(value) if type(value) in _LOOK_AS_THEY_ARE else format_value(mapping, value)

    return format_


def fields_of(
    formats: Formats,
    row: Mapping[str, Any],
    operation: Operation,
    remote_fields: Mapping[str, Any] | None = None,
    *,
    is_there: bool = False,
) -> dict[str, Any]:
    """Field → value for one record; an empty string empties a field.

    `remote_fields`: what the destination has in fields that are filled only if empty. `is_there`: a person who is
    subscribed now and is known there already keeps what is hers; only who is not gets the fallbacks of a new person.
    """
    is_new = operation == "create" and not is_there
    fields: dict[str, Any] = {}
    for mapping, format_ in formats:
        if operation == "clear":
            if mapping.on_null in EMPTYING:
                fields[mapping.field] = ""
            continue
        value = format_(row[mapping.column])
        if is_new:
            if value is None and mapping.on_null != "clear":
                value = mapping.fallback
            if value is not None:
                fields[mapping.field] = value
            continue
        if mapping.on_null == "fill_if_empty":
            has = (remote_fields or {}).get(mapping.field)
            value = mapping.fallback if value is None else value
            if value is not None and (has is None or has == ""):
                fields[mapping.field] = value
        elif value is not None:
            fields[mapping.field] = value
        elif mapping.on_null == "overwrite":
            fields[mapping.field] = mapping.fallback or ""
        elif mapping.on_null == "clear":
            fields[mapping.field] = ""
    return fields
