"""Limits of destinations, read from `limits.yml`, where each has its source and date.

A sync may declare lower ones for its account. They hold in this process until a destination of that kind is opened
for another sync: one process sends one sync at a time to a vendor.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import yaml

LIMITS_FILE = Path(__file__).with_name("limits.yml")
_LOWERABLE = re.compile(r"(_per_(second|minute|10_seconds|batch)|connections_used|open_jobs)$")
"""How much at once, and how often; what a vendor takes at all (lengths, numbers of fields) is not ours to choose."""

_kept_to: dict[str, Mapping[str, int]] = {}


@dataclass(frozen=True)
class Limit:
    """One number, where it comes from, and when that was read."""

    value: float
    source: str
    read_on: date


@functools.cache
def _declared(destination: str) -> dict[str, Limit]:
    text = yaml.safe_load(LIMITS_FILE.read_text(encoding="utf-8"))
    return {name: Limit(**entry) for name, entry in text.get(destination, {}).items()}


@functools.cache
def kinds() -> list[str]:
    """Every kind of destination."""
    return sorted(yaml.safe_load(LIMITS_FILE.read_text(encoding="utf-8")))


def limits_of(destination: str) -> dict[str, Limit]:
    """All limits of one kind of destination."""
    found = dict(_declared(destination))
    for name, value in _kept_to.get(destination, {}).items():
        found[name] = replace(found[name], value=value)
    return found


def limit(destination: str, name: str) -> int:
    """One limit as a whole number."""
    lowered = _kept_to.get(destination)
    if lowered and name in lowered:
        return lowered[name]
    return int(_declared(destination)[name].value)


def lowerable(destination: str) -> dict[str, int]:
    """Limits that a sync may lower, and what they are."""
    return {name: int(one.value) for name, one in _declared(destination).items() if _LOWERABLE.search(name)}


def keep_to(destination: str, lowered: Mapping[str, int]) -> None:
    """From here on keep to these limits of one kind of destination, and to the declared ones for the rest."""
    _kept_to[destination] = dict(lowered)
