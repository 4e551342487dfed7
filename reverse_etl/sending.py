"""Sending a plan's batches, wave by wave, and following the destination's jobs to their end.

HTTP never happens under the writer's lock. A wave of batches is marked as sent and committed, goes out, and its
outcomes are committed; a crash anywhere leaves records that count as possibly done, and the next run sends those
again or looks them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger, outbox
from reverse_etl.context import SyncContext, stopping
from reverse_etl.destination import BatchOutcome, Destination, Event, Jobs, Operation, Outcome
from reverse_etl.diff import Scope, check_model
from reverse_etl.errors import DestinationConfigError, DestinationDown, RejectedClass
from reverse_etl.plan import Plan
from warehouse.connection import connect
from warehouse.failpoints import failpoint

BATCHES_PER_WAVE = 16
PEOPLE_PER_WAVE = 25_000
SHARE_PER_WAVE = 0.005
MOST_PEOPLE_PER_WAVE = 50_000
LOG_FROM = 1_000_000
"""With so many people in the model a wave's writes wait in the log: a checkpoint of the ledger would cost more than to
read the log again when the next wave opens the file. The run's last connection folds it in."""
MOST_SILENT_WAVES = 2


def people_per_wave(n_source: int) -> int:
    """How many people may be in doubt after a crash, where that is more than 16 batches.

    A wave takes two commits and a look through the model and the ledger: it is larger where batches are small, and
    where there are more people to look through.
    """
    return min(MOST_PEOPLE_PER_WAVE, max(PEOPLE_PER_WAVE, int(SHARE_PER_WAVE * n_source)))


Result = tuple[ledger.Batch, BatchOutcome]


@dataclass
class Tally:
    """What the waves and jobs of a run add up to."""

    unexpected: int = 0
    """People created by an update."""
    silent: int = 0
    """Waves of this pass, in a row, without any answer."""

    def note(self, results: Sequence[Result]) -> None:
        """Count a wave; raises what makes further ones useless."""
        self.unexpected += sum(result.unexpected for _, result in results)
        self.silent = self.silent + 1 if all(result.stop is not None for _, result in results) else 0
        for _, result in results:
            is_final = isinstance(result.stop, (DestinationConfigError, DestinationDown))
            if result.stop is not None and (is_final or self.silent >= MOST_SILENT_WAVES):
                raise result.stop


def apply(ctx: SyncContext, lease: leases.Lease, made: Plan, tally: Tally) -> int:
    """Send a plan's batches in waves; records that were retired."""
    settings, name, run_id = ctx.settings, ctx.declaration.name, lease.sync_run_id
    scope = Scope(made.plan_id, made.schema, ctx.declaration, ctx.destination.key, ctx.overrides)
    jobs = ctx.destination.jobs
    with connect(settings, purpose=f"sync {name}", checkpoint=made.n_source < LOG_FROM) as con:
        con.execute("begin")
        leases.renew(con, lease)
        retired = ledger.retire(con, scope, run_id)
        outbox.note_beginning(con, scope, made.as_of)
        con.execute("commit")
        if jobs is None:
            waves = ledger.waves(con, made.plan_id, BATCHES_PER_WAVE, people_per_wave(made.n_source))
        else:
            waves = ledger.waves(con, made.plan_id, min(BATCHES_PER_WAVE, jobs.most_open))
    tally.silent = 0
    before: Operation | None = None
    results: list[Result] = []
    open_jobs: list[ledger.Batch] = []
    with ThreadPoolExecutor(ctx.destination.concurrency, thread_name_prefix="sync") as pool:
        for number, (operation, numbers) in enumerate([*waves, (None, [])]):
            ctx.progress("send", number, len(waves))
            if jobs is not None and results:
                with connect(settings, purpose=f"sync {name}", checkpoint=made.n_source < LOG_FROM) as con:
                    open_jobs += _commit_outcomes(con, scope, lease, results)
                tally.note(results)
                results = []
            if jobs is not None and open_jobs:
                # what follows may need what these do
                fewer_than = jobs.most_open if operation == before else 1
                open_jobs = _settle(ctx, scope, lease, open_jobs, jobs, fewer_than, tally)
            before = operation
            # one connection writes how the last wave ended, then takes the next one, in a transaction each
            with connect(settings, purpose=f"sync {name}", checkpoint=made.n_source < LOG_FROM) as con:
                if results:
                    _commit_outcomes(con, scope, lease, results)
                    tally.note(results)
                if not numbers:
                    break
                stopping.check()
                con.execute("begin")
                leases.renew(con, lease)
                batches, too_large = ledger.take_wave(con, scope, run_id, numbers, ctx.destination)
                con.execute("commit")
            failpoint("sync.before_send")
            results = [*too_large, *pool.map(lambda batch: (batch, _send(ctx.destination, batch)), batches)]
            failpoint("sync.answered_uncommitted")
    return retired


def _commit_outcomes(
    con: duckdb.DuckDBPyConnection, scope: Scope, lease: leases.Lease, results: Sequence[Result]
) -> list[ledger.Batch]:
    """Write them down; the batches for which the destination has a job."""
    con.execute("begin")
    ledger.record_outcomes(con, scope, lease.sync_run_id, results)
    leases.renew(con, lease)
    con.execute("commit")
    failpoint("sync.committed")
    return [
        replace(batch, records=accepted, job=result.job)
        for batch, result in results
        if result.job and (accepted := tuple(r for r in batch.records if result.of(r.key).kind == "accepted"))
    ]


def _settle(
    ctx: SyncContext,
    scope: Scope,
    lease: leases.Lease,
    batches: list[ledger.Batch],
    jobs: Jobs,
    fewer_than: int,
    tally: Tally,
) -> list[ledger.Batch]:
    """Wait until fewer than so many jobs are open, or until none has ended for long; those that are open still."""
    waited = 0.0
    while len(batches) >= fewer_than:
        stopping.check()
        ctx.progress("wait for the destination's jobs", 0, len(batches))
        with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
            batches, ended = ledger.without_withdrawn(con, scope, batches)
        running: list[ledger.Batch] = []
        stop: Exception | None = None
        for batch in batches:
            try:
                result = ctx.destination.poll(batch.job or "", batch.operation, batch.records) if stop is None else None
            except Exception as error:  # what the others answered in this round is written down first
                stop, result = error, None
            if result is None:
                running.append(batch)
            else:
                ended.append((batch, result))
                stop = stop or result.stop
        failpoint("sync.polled_uncommitted")
        with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
            if ended:
                waited = 0.0
                running += _commit_outcomes(con, scope, lease, ended)
                tally.unexpected += sum(result.unexpected for _, result in ended)
            else:
                leases.renew(con, lease)
        batches = running
        if stop is not None:
            raise stop
        if len(batches) < fewer_than or waited >= jobs.patience:
            break
        ctx.destination.wait(jobs.pause)
        waited += jobs.pause
    return batches


def settle_older_jobs(ctx: SyncContext, lease: leases.Lease, tally: Tally) -> None:
    """Learn how the jobs ended that a run before this one left open: it was killed, or did not wait any longer."""
    jobs = ctx.destination.jobs
    if jobs is None:
        return
    with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
        batches = ledger.open_batches(con, ctx.declaration.name, ctx.destination.key)
        scope = Scope("", ctx.settings.schema, ctx.declaration, ctx.destination.key, ctx.overrides)
        if batches:
            check_model(con, scope)  # whoever withdrew since must be known
    if batches:
        ctx.destination.check()
        _settle(ctx, scope, lease, batches, jobs, 1, tally)


def _send(destination: Destination, batch: ledger.Batch) -> BatchOutcome:
    if stopping.is_asked:  # a wave may take a minute, and who asked does not wait for so long
        return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, "Not sent: the run was asked to end."))
    if batch.operation == "event":
        result = destination.send_events([record for record in batch.records if isinstance(record, Event)])
    elif batch.segment_id is not None:
        result = destination.set_membership(batch.segment_id, batch.operation, batch.records)
    else:
        result = destination.upsert(batch.operation, batch.records)
    failpoint("sync.sent_unanswered")
    return result
