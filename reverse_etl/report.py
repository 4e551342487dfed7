"""What a person is shown after a sync, `SyncReport`: counts from the ledger, traffic from the client, latency from the
loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb

from reverse_etl import ledger
from reverse_etl.context import SyncContext
from reverse_etl.destination import Traffic
from reverse_etl.plan import Plan, newest_load, plain


@dataclass(frozen=True)
class SyncReport:
    """What a sync did."""

    sync_run_id: str
    sync_name: str
    destination: str
    schema: str
    as_of: datetime | None
    is_dry_run: bool
    created: int = 0
    updated: int = 0
    lowered: int = 0
    cleared: int = 0
    entering: int = 0
    leaving: int = 0
    events: int = 0
    events_blocked: Mapping[str, int] = field(default_factory=dict)
    events_in_doubt: int = 0
    """Sent and not answered, by this run or an older one; without a key of the destination's a person decides."""
    retired: int = 0
    """Closed without sending: wanted neither here nor there."""
    unchanged: int = 0
    memberships_unchanged: int = 0
    blocked: Mapping[str, int] = field(default_factory=dict)
    memberships_blocked: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    in_doubt: int = 0
    waiting: int = 0
    """Accepted, by this run or an older one, and not decided when the run ended; the next run looks first."""
    requests: int = 0
    writes: int = 0
    throttled: int = 0
    passes: int = 0
    duration_seconds: float = 0.0
    newest_loaded_at: datetime | None = None
    """When the newest data that the build could read was loaded."""
    latency_seconds: float | None = None
    """From that load to the last confirmation: event-to-destination latency, without the source's own delay."""
    data_age_seconds: float | None = None
    """`as_of` minus that load: how much later the clock stands than the newest data came in."""
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Everything was confirmed, or is known not to be wanted."""
        return self.in_doubt == 0 and self.waiting == 0 and not self.rejected.get("retryable")

    def to_dict(self) -> dict[str, Any]:
        return plain(asdict(self)) | {"is_complete": self.is_complete}


@dataclass(frozen=True)
class Applied:
    """What a run did, as far as the ledger does not say it."""

    first: Plan
    passes: int = 0
    retired: int = 0
    unexpected: int = 0


def report_of(
    con: duckdb.DuckDBPyConnection,
    ctx: SyncContext,
    run_id: str,
    as_of: datetime | None,
    applied: Applied,
    *,
    dry_run: bool,
    before: Traffic,
    seconds: float,
) -> SyncReport:
    """Counts from the ledger (a dry run: from the plan), traffic from the client, latency from the loads."""
    first = applied.first
    done: dict[str, int] = {}
    rejected: dict[str, int] = {}
    in_doubt = 0
    waiting = con.execute(
        "select count(*) from ledger.sync_state where sync_name = ? and destination = ? and state = 'accepted'",
        [ctx.declaration.name, ctx.destination.key],
    ).fetchall()[0][0]
    for operation, outcome, why, n in ledger.results_of_run(con, run_id):
        if outcome == "confirmed":
            done[operation] = done.get(operation, 0) + n
        elif outcome == "rejected":
            rejected[why or "data"] = rejected.get(why or "data", 0) + n
        elif outcome != "accepted" and (operation != "event" or ctx.destination.events_are_keyed):
            in_doubt += n
    if dry_run:
        done = {"create": first.created, "update": first.updated, "lower": first.lowered, "clear": first.cleared,
                "add": first.entering, "remove": first.leaving, "event": first.events}  # fmt: skip
    loaded_at = newest_load(con, ctx.settings.schema)
    confirmed_at = con.execute(
        "select max(outcome_at) from ledger.sync_attempts where sync_run_id = ? and outcome = 'confirmed'", [run_id]
    ).fetchall()[0][0]
    traffic = ctx.destination.traffic
    report = SyncReport(
        sync_run_id=run_id,
        sync_name=ctx.declaration.name,
        destination=ctx.destination.key,
        schema=ctx.settings.schema,
        as_of=as_of,
        is_dry_run=dry_run,
        created=done.get("create", 0),
        updated=done.get("update", 0),
        lowered=done.get("lower", 0),
        cleared=done.get("clear", 0),
        entering=done.get("add", 0),
        leaving=done.get("remove", 0),
        events=done.get("event", 0),
        events_blocked=first.events_blocked,
        events_in_doubt=ledger.events_in_doubt(con, ctx.declaration.name, ctx.destination.key),
        unchanged=first.unchanged,
        memberships_unchanged=first.memberships_unchanged,
        blocked=first.blocked,
        memberships_blocked=first.memberships_blocked,
        rejected=rejected,
        held=first.held,
        in_doubt=in_doubt,
        waiting=waiting,
        requests=traffic.requests - before.requests,
        writes=traffic.writes - before.writes,
        throttled=traffic.throttled - before.throttled,
        passes=applied.passes,
        retired=applied.retired,
        duration_seconds=round(seconds, 3),
        newest_loaded_at=loaded_at,
        latency_seconds=(confirmed_at - loaded_at).total_seconds() if confirmed_at and loaded_at else None,
        data_age_seconds=(as_of - loaded_at).total_seconds() if as_of and loaded_at else None,
        notes=first.notes,
    )
    notes = list(report.notes)
    if applied.unexpected:
        notes.append(
            f"{applied.unexpected} people who were to be updated had been deleted there meanwhile, and the destination "
            "created them anew: look at them."
        )
    if report.events_in_doubt:
        notes.append(
            f"{report.events_in_doubt} events were sent and not answered. Where the destination knows events by no key "
            "they are not sent again; `mailwright sync rejected` lists them."
        )
    if report.writes == 0 and not report.is_dry_run:
        notes.append("Nothing differed: nothing was written to the destination.")
    return replace(report, notes=tuple(notes))
