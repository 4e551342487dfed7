"""A sync's report, as screen and page show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.report.data import Row


@dataclass(frozen=True)
class SyncView:
    """What one sync did."""

    created: int
    updated: int
    entering: int
    leaving: int
    blocked: list[Row]
    """Rows of (name: the reason, profiles)."""
    rejected: int
    requests: int
    latency_text: str
    nothing_changed: bool

    @property
    def n_blocked(self) -> int:
        return sum(row["profiles"] for row in self.blocked)

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> SyncView:
        blocked = report.get("blocked") or {}
        return cls(
            created=_total(report.get("created")),
            updated=_total(report.get("updated")),
            entering=_total(report.get("entering")),
            leaving=_total(report.get("leaving")),
            blocked=[
                {"name": reason, "profiles": n} for reason, n in sorted(blocked.items(), key=lambda item: -item[1])
            ],
            rejected=_total(report.get("rejected")),
            requests=_total(report.get("requests")),
            latency_text=latency_text(report),
            nothing_changed=report.get("writes") == 0,
        )


def _total(value: Any) -> int:
    """A count, or the sum of counts by name."""
    if isinstance(value, Mapping):
        return sum(_total(item) for item in value.values())
    return int(value or 0)


def latency_text(report: Mapping[str, Any]) -> str:
    return str(report.get("latency") or "–")
