"""Limits of destinations, read from `limits.yml`, where each has its source and date.

A sync may declare others for its account, within what its vendor allows. They hold in this process until a destination
of that kind is opened for another sync: one process sends one sync at a time to a vendor.
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
_ADJUSTABLE = re.compile(r"(_per_(second|minute|10_seconds|batch)|connections_used|open_jobs)$")
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
    wanted = _kept_to.get(destination)
    if wanted and name in wanted:
        return wanted[name]
    return int(_declared(destination)[name].value)


def adjustable(destination: str) -> dict[str, int]:
    """Limits that a sync may set, and the most that each may be: what is declared here; of connections, where the
    vendor says how many an account may have, all of them."""
    declared = _declared(destination)
    found = {name: int(one.value) for name, one in declared.items() if _ADJUSTABLE.search(name)}
    if "connections" in declared:
        found["connections_used"] = int(declared["connections"].value)
    return found


def keep_to(destination: str, wanted: Mapping[str, int]) -> None:
    """From here on keep to these limits of one kind of destination, and to the declared ones for the rest."""
    _kept_to[destination] = dict(wanted)
