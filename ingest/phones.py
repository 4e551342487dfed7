"""One telephone number to E.164 form (`+` and up to 15 digits): its shape alone, without national numbering plans."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_EXTENSION = re.compile(r"(?:ext\.?|extension|x|#|;ext=)\s*\d{1,6}\s*$", re.IGNORECASE)
_ALLOWED = re.compile(r"[+\d\s().\-/\u2010-\u2015\u00a0]+")
_PLACEHOLDERS = ("1234567", "0123456")


@dataclass(frozen=True)
class Phone:
    """A normalized number, or why there is none."""

    value: str | None
    is_valid: bool
    reason: str | None


def normalize_phone(raw: str, *, country_code: str | None = None) -> Phone:
    """E.164 form of a raw number.

    Args:
        raw: as it was typed or exported.
        country_code: calling code of numbers written nationally; None leaves those invalid.
    """
    text = unicodedata.normalize("NFKC", raw).strip()
    text = _EXTENSION.sub("", text.removeprefix("tel:")).strip()
    if not text:
        return Phone(None, False, "empty")
    if not _ALLOWED.fullmatch(text):
        return Phone(None, False, "characters that no number has")
    text = "".join(str(unicodedata.digit(char)) if char.isdecimal() else char for char in text)
    international = text.startswith(("+", "00"))
    # '+44 (0)20 …': the zero in brackets is dialled at home only
    shown = text.replace("(0)", "") if international else text
    digits = re.sub(r"\D", "", shown)
    if text.startswith("00"):
        digits = digits.removeprefix("00")
    if not international:
        if country_code is None:
            return Phone(None, False, "no country code")
        digits = country_code + digits.removeprefix("0")
    if not 8 <= len(digits) <= 15 or digits.startswith("0"):
        return Phone(None, False, "wrong number of digits")
    if len(set(digits[-7:])) == 1 or digits.endswith(_PLACEHOLDERS):
        return Phone(None, False, "placeholder")
    return Phone("+" + digits, True, None)
