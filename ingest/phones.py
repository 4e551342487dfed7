"""One telephone number to E.164 form (`+` and up to 15 digits), valid by its numbering plan (phonenumbers)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_EXTENSION = re.compile(r"(?:ext\.?|extension|x|#|;ext=)\s*\d{1,6}\s*$", re.IGNORECASE)
_ALLOWED = re.compile(r"[+\d\s().\-/\u2010-\u2015\u00a0]+")
_RUNS = ("0123456789" * 2, "9876543210" * 2)


@dataclass(frozen=True)
class Phone:
    """A normalized number, or why there is none."""

    value: str | None
    is_valid: bool
    reason: str | None


def normalize_phone(raw: str, *, regions: Sequence[str] = ()) -> Phone:
    """E.164 form of a raw number.

    Args:
        raw: as it was typed or exported.
        regions: ISO 3166-1 codes of where numbers written nationally may be from; one that is valid in several of
            them is nobody's, since a guess would be somebody else's number. Without any, those stay invalid.
    """
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_valid_number, parse

    text = unicodedata.normalize("NFKC", raw).strip()
    if text[:4].lower() == "tel:":
        text = text[4:]
    text = _EXTENSION.sub("", text).strip()
    if not text:
        return Phone(None, False, "empty")
    # the library looks for a number in any text, and reads letters as keys
    if not _ALLOWED.fullmatch(text):
        return Phone(None, False, "characters that no number has")
    digits = "".join(str(unicodedata.digit(char)) for char in text if char.isdecimal())
    if _is_placeholder(digits[-7:]):
        return Phone(None, False, "placeholder")
    is_international = text.startswith(("+", "00"))
    if text.startswith("00"):
        text = "+" + text.removeprefix("00")
    if not is_international and not regions:
        return Phone(None, False, "no country code")
    found: set[str] = set()
    reasons: list[str] = []
    for region in [None] if is_international else regions:
        try:
            number = parse(text, region)
        except NumberParseException as error:
            wrong_code = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
            reasons.append("unknown country code" if wrong_code else "wrong number of digits")
            continue
        if is_valid_number(number):
            found.add(format_number(number, PhoneNumberFormat.E164))
        else:
            reasons.append(_why_not(number))
    if len(found) > 1:
        return Phone(None, False, "valid in several regions")
    return Phone(found.pop(), True, None) if found else Phone(None, False, max(reasons, key=_NEAREST.index))


_NEAREST = ("unknown country code", "wrong number of digits", "not in the numbering plan")
"""Of the reasons of several regions, the last of these is told."""


def _is_placeholder(last: str) -> bool:
    """One digit again and again, or seven counted up or down: what people type where a number is demanded."""
    return len(set(last)) == 1 or (len(last) == 7 and any(last in run for run in _RUNS))


def _why_not(number: object) -> str:
    from phonenumbers import PhoneNumber, is_possible_number

    assert isinstance(number, PhoneNumber)
    return "not in the numbering plan" if is_possible_number(number) else "wrong number of digits"


def known_regions() -> frozenset[str]:
    """All regions that have a numbering plan."""
    from phonenumbers import SUPPORTED_REGIONS

    return frozenset(SUPPORTED_REGIONS)
