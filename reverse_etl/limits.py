"""Limits of destinations, read from `limits.yml`, where each has its source and date."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

LIMITS_FILE = Path(__file__).with_name("limits.yml")


@dataclass(frozen=True)
class Limit:
    """One number, where it comes from, and when that was read."""

    value: float
    source: str
    read_on: date


@functools.cache
def limits_of(destination: str) -> dict[str, Limit]:
    """All limits of one kind of destination."""
    text = yaml.safe_load(LIMITS_FILE.read_text(encoding="utf-8"))
    return {name: Limit(**entry) for name, entry in text[destination].items()}


def limit(destination: str, name: str) -> int:
    """One limit as a whole number."""
    return int(limits_of(destination)[name].value)
