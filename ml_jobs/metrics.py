"""The metrics of a run as rows: what a job found, with its interval where it measured one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INTERVAL = "_95"
"""A pair of this ending is the 95 % interval of the metric that it is called after."""


@dataclass(frozen=True)
class Metric:
    """One number."""

    name: str
    value: float
    low: float | None = None
    """Of the 95 % interval; None where none was measured."""
    high: float | None = None


def metrics_of(found: Mapping[str, Any]) -> list[Metric]:
    """The numbers among what a job found, by name; no texts, no flags, and nothing that is not finite."""
    rows: list[Metric] = []
    for name in sorted(found):
        if _is_number(found[name]):
            interval = found.get(name + INTERVAL)
            ends = interval if isinstance(interval, list) and all(map(_is_number, interval)) else [None, None]
            rows.append(Metric(name, float(found[name]), *ends))
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
