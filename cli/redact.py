"""Nothing that identifies a person or opens a door is printed: messages pass through here on their way out."""

from __future__ import annotations

import os
import re

from warehouse.telephones import without_telephones

_ADDRESS = re.compile(r"[^\s@'\"<>()\[\],;:=|]+@[^\s@'\"<>()\[\],;:=|]+\.[^\s@'\"<>()\[\],;:=|]+")
_NAMED_PHONE = re.compile(r"(?<=phone_and_name:)(?!sha256:|[0-9a-f]{32}\b)[^\n'\"]+")
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_SHORTEST_SECRET = 6
"""Shorter values ('1', 'true') would blank out ordinary words."""


def redact(text: str) -> str:
    """`text` without values of secret environment variables, credentials in URLs, e-mail addresses and telephones."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "[secret]")
    text = _NAMED_PHONE.sub("[telephone and name]", _IN_URL.sub("[secret]", text))
    return without_telephones(_ADDRESS.sub("[address]", text))
