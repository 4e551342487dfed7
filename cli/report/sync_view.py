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
    lowered: int
    entering: int
    leaving: int
    events: int
    unchanged: int
    blocked: list[Row]
    """Rows of (name: the reason, profiles)."""
    rejected: int
    in_doubt: int
    requests: int
    writes: int
    latency_text: str

    @property
    def n_blocked(self) -> int:
        return sum(row["profiles"] for row in self.blocked)

    @property
    def nothing_changed(self) -> bool:
        return self.writes == 0

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> SyncView:
        """From `SyncReport.to_dict()`, or what the ledger kept of it."""
        blocked = report.get("blocked") or {}
        return cls(
            **{
                name: int(report.get(name) or 0)
                for name in ("created", "updated", "lowered", "entering", "leaving", "events", "unchanged", "in_doubt")
            },
            blocked=[
                {"name": reason, "profiles": n} for reason, n in sorted(blocked.items(), key=lambda item: -item[1])
            ],
            rejected=sum((report.get("rejected") or {}).values()),
            requests=int(report.get("requests") or 0),
            writes=int(report.get("writes") or 0),
            latency_text=latency_text(report),
        )


def latency_text(report: Mapping[str, Any]) -> str:
    """From the newest load to the last confirmation at the ESP; a dash when nothing had to be sent."""
    seconds = report.get("latency_seconds")
    return "–" if seconds is None else duration(float(seconds))


def duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
