"""How a sync stands, from its ledger alone: what is confirmed, what was turned away and why, what still waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from reverse_etl.errors import without_secrets

MOST_REASONS = 20


@dataclass(frozen=True)
class Rejection:
    """Records that were turned away alike."""

    object: str
    rejected_class: str
    message: str
    records: int


@dataclass(frozen=True)
class SyncHealth:
    """One sync at one destination, now."""

    sync_name: str
    destination: str
    last_status: str | None
    """Of the newest run that was no dry run; None: there was none."""
    last_finished_at: datetime | None
    records: Mapping[str, int]
    """State (confirmed, rejected, skipped, in_doubt, accepted, sent) → records."""
    open_withdrawals: int
    """Ends of subscriptions that were sent and are not confirmed."""
    rejections: tuple[Rejection, ...]
    """The most frequent ones."""
    unweighed: int
    """Subscriptions that ended at the destination after the newest build had read what was known of them."""
    oldest_unweighed_at: datetime | None
    """When the first of those was seen."""

    @property
    def n_open(self) -> int:
        """Records of which nobody knows yet how they ended."""
        return sum(self.records.get(state, 0) for state in ("sent", "accepted", "in_doubt"))

    @property
    def n_rejected(self) -> int:
        return self.records.get("rejected", 0)

    @property
    def share_rejected(self) -> float:
        return self.n_rejected / total if (total := sum(self.records.values())) else 0.0

    def suppression_lag_hours(self, now: datetime) -> float:
        """How long the oldest of what is not weighed yet has waited."""
        return 0.0 if self.oldest_unweighed_at is None else (now - self.oldest_unweighed_at).total_seconds() / 3600


def sync_health(con: duckdb.DuckDBPyConnection, schema: str, sync_name: str, destination: str) -> SyncHealth:
    """How the sync stands at this destination; `schema` is the one that it reads."""
    one = [sync_name, destination]
    last = _rows(
        con,
        """select status, finished_at from ledger.sync_runs
           where sync_name = ? and destination = ? and status <> 'dry_run'
           order by started_at desc, sync_run_id desc limit 1""",
        one,
    )
    states = _rows(
        con,
        "select state, count(*) from ledger.sync_state where sync_name = ? and destination = ? group by state",
        one,
    )
    withdrawals = _rows(
        con,
        """select count(*) from (
               select operation, outcome, row_number() over (
                   partition by record_key order by attempt_number desc
               ) as age
               from ledger.sync_attempts where sync_name = ? and destination = ? and object = 'member'
           ) where age = 1 and operation = 'lower' and outcome <> 'confirmed'""",
        one,
    )
    rejected = _rows(
        con,
        f"""select object, coalesce(rejected_class, ''), coalesce(message, ''), count(*) as records
            from ledger.sync_state where sync_name = ? and destination = ? and state = 'rejected'
            group by all order by records desc, 1, 2, 3 limit {MOST_REASONS}""",
        one,
    )
    unweighed = _rows(
        con,
        """select count(*), min(seen_at) from ledger.remote_suppressions
           where destination = ? and seen_at > coalesce(
               (select max(known_at) from ops.builds where schema_name = ? and status = 'succeeded'),
               timestamp '1970-01-01'
           )""",
        [destination, schema],
    )
    return SyncHealth(
        sync_name=sync_name,
        destination=destination,
        last_status=last[0][0] if last else None,
        last_finished_at=last[0][1] if last else None,
        records=dict(states),
        open_withdrawals=withdrawals[0][0],
        rejections=tuple(Rejection(o, c, without_secrets(m), n) for o, c, m, n in rejected),
        unweighed=unweighed[0][0],
        oldest_unweighed_at=unweighed[0][1],
    )


def _rows(con: duckdb.DuckDBPyConnection, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    return con.execute(sql, values).fetchall()
