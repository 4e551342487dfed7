"""Sending a plan's batches, wave by wave, and following the destination's jobs to their end.

HTTP never happens under the writer's lock. A wave of batches is marked as sent and committed, goes out, and its
outcomes are committed; a crash anywhere leaves records that count as possibly done, and the next run sends those
again or looks them up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger, outbox
from reverse_etl.context import SyncContext, stopping
from reverse_etl.destination import BatchOutcome, Destination, Event, Operation, Outcome
from reverse_etl.diff import Scope, check_model
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass, Stopped
from reverse_etl.plan import Plan
from warehouse.connection import connect
from warehouse.failpoints import failpoint

BATCHES_PER_WAVE = 16
PEOPLE_PER_WAVE = 25_000
LARGE = 1_000_000
PEOPLE_PER_LARGE_WAVE = 50_000
"""With so many people in the model."""
PEOPLE_PER_WAVE_OF_JOBS = 100_000
"""Batches for jobs are large, and two waves of them are in memory; small ones are as many as jobs may be open."""
MOST_SILENT = 2
"""So many waves, or looks at as many jobs as there are connections, in a row without an answer end the run."""
MOST_PEOPLE_OPEN = 1_000_000
"""In jobs that are open: no further wave goes out, so that what is remembered of them stays small."""
SHARE_OF_WAITING = 0.25
"""A job that takes long is looked at less often: its end is seen late by so much of what it took."""
RENEWED_EVERY = 60.0
"""Seconds of waiting after which the lease is renewed though there is nothing to write down."""
_NO_FIELDS: Mapping[str, Any] = {}


def people_per_wave(n_source: int) -> int:
    """How many people a wave may have, where that is more than 16 batches; two waves may be in doubt after a crash.

    A wave takes two commits and a look through the model and the ledger: it is larger where batches are small, and
    where there are more people to look through.
    """
    return PEOPLE_PER_WAVE if n_source < LARGE else PEOPLE_PER_LARGE_WAVE


Result = tuple[ledger.Batch, BatchOutcome]
Planned = tuple[Operation, list[int]]
"""A wave to come: its operation, and the numbers of its batches."""


@dataclass
class Tally:
    """What the waves and jobs of a run add up to."""

    unexpected: int = 0
    """People created by an update."""
    silent: int = 0
    """Waves of this pass, in a row, without any answer."""

    def note(self, results: Sequence[Result]) -> Exception | None:
        """Count a wave; what makes further ones useless, if anything does."""
        self.unexpected += sum(result.unexpected for _, result in results)
        self.silent = self.silent + 1 if all(result.stop is not None for _, result in results) else 0
        for _, result in results:
            is_final = isinstance(result.stop, (DestinationConfigError, DestinationDown))
            if result.stop is not None and (is_final or self.silent >= MOST_SILENT):
                return result.stop
        return None


def apply(ctx: SyncContext, lease: leases.Lease, made: Plan, tally: Tally) -> int:
    """Send a plan's batches in waves; records that were retired."""
    scope = Scope(made.plan_id, made.schema, ctx.declaration, ctx.destination.key, ctx.overrides)
    jobs = ctx.destination.jobs
    with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
        con.execute("begin")
        leases.renew(con, lease)
        retired = ledger.retire(con, scope, lease.sync_run_id)
        outbox.note_beginning(con, scope, made.as_of)
        con.execute("commit")
        if jobs is None:
            waves = ledger.waves(con, made.plan_id, BATCHES_PER_WAVE, people_per_wave(made.n_source))
        else:
            waves = ledger.waves(con, made.plan_id, 1, PEOPLE_PER_WAVE_OF_JOBS, most=max(1, jobs.most_open // 2))
    tally.silent = 0
    with ThreadPoolExecutor(ctx.destination.concurrency, thread_name_prefix="sync") as pool:
        _Line(ctx, scope, lease, tally, pool).run(waves)
    return retired


def settle_older_jobs(ctx: SyncContext, lease: leases.Lease, tally: Tally) -> None:
    """Learn how the jobs ended that a run before this one left open: it was killed, or did not wait any longer."""
    if ctx.destination.jobs is None:
        return
    with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
        batches = ledger.open_batches(con, ctx.declaration.name, ctx.destination.key)
        scope = Scope("", ctx.settings.schema, ctx.declaration, ctx.destination.key, ctx.overrides)
        if batches:
            check_model(con, scope)  # whoever withdrew since must be known
    if batches:
        ctx.destination.check()
        with ThreadPoolExecutor(ctx.destination.concurrency, thread_name_prefix="sync") as pool:
            _Line(ctx, scope, lease, tally, pool, open_jobs=batches, has_paused=True).run([])


@dataclass
class _Wave:
    """Batches that are under way."""

    too_large: list[Result]
    batches: list[ledger.Batch]
    futures: list[Future[BatchOutcome]]

    def is_answered(self) -> bool:
        return all(future.done() for future in self.futures)

    def results(self) -> list[Result]:
        """Waits for all of them."""
        return [*self.too_large, *zip(self.batches, (future.result() for future in self.futures), strict=True)]


@dataclass
class _Line:
    """What is under way: waves that were sent and not answered yet, and jobs.

    While a wave goes out the next one of the same operation is marked as sent and follows it, so that no connection
    idles until the slowest answer of a wave has come. A crash leaves both in doubt; so events go by one wave, and the
    first wave of an operation goes alone: whatever is wrong with all of them shows there. Another operation waits for
    all that is under way: it may need what that did.
    """

    ctx: SyncContext
    scope: Scope
    lease: leases.Lease
    tally: Tally
    pool: ThreadPoolExecutor
    open_jobs: list[ledger.Batch] = field(default_factory=list)
    """First those that are looked at next."""
    has_paused: bool = False
    """Whether they may be looked at without a pause before."""
    halt: Exception | None = None
    """Why nothing more goes out. What is under way is waited for and written down first."""
    _flying: deque[_Wave] = field(default_factory=deque)
    _operation: Operation | None = None
    """Of the newest wave."""
    _is_answered: bool = False
    """Whether a wave of this operation was, and the newest one too."""
    _n_due: int = 0
    """How many of the open jobs this round of looks has not come to yet."""
    _waited: float = 0.0
    """Seconds since a job ended."""
    _silent: int = 0
    """Looks in a row, of all connections, without any answer."""
    _unrenewed: float = 0.0
    """Seconds of waiting since something was written."""

    def run(self, waves: Sequence[Planned]) -> None:
        """Send them, and wait for all answers and for the jobs; raises what stopped it."""
        todo = deque(waves)
        try:
            while True:
                self.ctx.progress("send", len(waves) - len(todo), len(waves))
                landed: list[list[Result]] = []
                ended: list[Result] = []
                if not self._may_go(todo) and not self._is_answer_come():
                    if self._is_waiting():
                        ended = self._look()
                    elif not self._flying:
                        break
                while self._flying and self._flying[0].is_answered():
                    landed.append(self._flying.popleft().results())
                self._write_and_send(landed, ended, todo)
        except BaseException:
            for future in (future for wave in self._flying for future in wave.futures):
                future.cancel()
            raise
        if self.halt is not None:
            raise self.halt

    def _may_go(self, todo: Sequence[Planned]) -> bool:
        """Whether the next wave may go out now."""
        if not todo or self.halt is not None:
            return False
        operation, _ = todo[0]
        if not self._flying:
            return self._has_room(todo[0])
        may_follow = operation == self._operation and operation != "event" and self._is_answered
        return may_follow and len(self._flying) < 2 and self._has_room(todo[0])

    def _has_room(self, wave: Planned) -> bool:
        """Whether no open job stands in its way. Where none has ended for long, it does not wait for them."""
        jobs = self.ctx.destination.jobs
        if jobs is None or not self.open_jobs or not self._is_waiting():
            return True
        operation, numbers = wave
        n = len(self.open_jobs) + sum(len(one.futures) for one in self._flying) + len(numbers)
        n_people = sum(len(batch.records) for batch in self.open_jobs)
        return operation == self._operation and n <= jobs.most_open and n_people < MOST_PEOPLE_OPEN

    def _is_answer_come(self) -> bool:
        """Whether the oldest wave is answered. It is waited for; if there are jobs, for no longer than until the next
        look at them is due: what goes out may have to wait for the vendor's windows, and looks have windows too."""
        if not self._flying:
            return False
        if self._n_due == 0 or self.halt is not None:
            is_for_a_while = self._is_waiting()
            pause = self._pause() if is_for_a_while else RENEWED_EVERY
            wait(self._flying[0].futures, timeout=pause)
            if not self._flying[0].is_answered():
                self._unrenewed += pause
                if is_for_a_while:
                    self._note_pause(pause)
        return self._flying[0].is_answered()

    def _is_waiting(self) -> bool:
        """Whether there are jobs to be waited for, and patience for it."""
        jobs = self.ctx.destination.jobs
        if jobs is None or not self.open_jobs or self.halt is not None:
            return False
        return self._n_due > 0 or self._waited < jobs.patience

    def _write_and_send(self, landed: list[list[Result]], ended: list[Result], todo: deque[Planned]) -> None:
        """One connection writes how things ended, then takes the next wave, in a transaction each."""
        if landed:
            failpoint("sync.answered_uncommitted")
        results = [*(result for wave in landed for result in wave), *ended]
        wave: tuple[list[ledger.Batch], list[Result]] | None = None
        if not results and not self._may_go(todo) and self._unrenewed < RENEWED_EVERY:
            return
        name = self.ctx.declaration.name
        with connect(self.ctx.settings, purpose=f"sync {name}") as con:
            self._unrenewed = 0.0
            if results:
                self.open_jobs += _commit_outcomes(con, self.scope, self.lease, results)
            else:
                leases.renew(con, self.lease)
            for some in (one for one in landed if one):
                self._is_answered = any(result.stop is None for _, result in some)
                self.halt = self.halt or self.tally.note(some)
            if self._may_go(todo) and not self._is_stopping():
                operation, numbers = todo.popleft()
                self._is_answered = self._is_answered and operation == self._operation
                self._operation = operation
                con.execute("begin")
                leases.renew(con, self.lease)
                wave = ledger.take_wave(con, self.scope, self.lease.sync_run_id, numbers, self.ctx.destination)
                con.execute("commit")
        if wave is not None:
            failpoint("sync.before_send")
            batches, too_large = wave
            send = partial(_send, self.ctx.destination)
            self._flying.append(_Wave(too_large, batches, [self.pool.submit(send, batch) for batch in batches]))
            self._waited = 0.0

    def _is_stopping(self) -> bool:
        try:
            stopping.check()
        except Stopped as error:
            self.halt = self.halt or error
        return self.halt is not None

    def _look(self) -> list[Result]:
        """Look at open jobs, at so many at once as there are connections: how those ended that have.

        A look that is not answered says nothing of its job, and costs the others nothing.
        """
        if self._is_stopping() or not self._begin_round():
            return []
        n = min(self._n_due, self.ctx.destination.concurrency)
        batches, self.open_jobs = self.open_jobs[:n], self.open_jobs[n:]
        self._n_due -= n
        ended: list[Result] = []
        if any(batch.operation == "create" for batch in batches):
            with connect(self.ctx.settings, purpose=f"sync {self.ctx.declaration.name}") as con:
                batches, ended = ledger.without_withdrawn(con, self.scope, batches)
        stops: list[Exception] = []
        silent: list[Exception] = []

        def look(batch: ledger.Batch) -> BatchOutcome | NoAnswer | None:
            if stops:  # ends the round; what the others answered is written down first
                return None
            try:
                result = self.ctx.destination.poll(batch.job or "", batch.operation, batch.records)
            except NoAnswer as error:
                return error
            except Exception as error:
                stops.append(error)
                return None
            if result is not None and result.stop is not None:
                stops.append(result.stop)
            return result

        futures = [self.pool.submit(look, batch) for batch in batches]
        for batch, future in zip(batches, futures, strict=True):
            result = future.result()
            if isinstance(result, NoAnswer):
                silent.append(result)
                result = None
            left = batch.records if result is None else tuple(r for r in batch.records if r.key in result.left)
            if left:
                self.open_jobs.append(replace(batch, records=left))
            if result is not None:
                done = tuple(r for r in batch.records if r.key not in result.left)
                ended.append((replace(batch, records=done), result))
                self.tally.unexpected += result.unexpected
        failpoint("sync.polled_uncommitted")
        self._silent = self._silent + 1 if len(silent) == len(batches) > 0 else 0
        if stops or self._silent >= MOST_SILENT:
            self.halt = [*stops, *silent][0]
        if ended:
            self._waited = 0.0
        return ended

    def _pause(self) -> float:
        """Seconds until the next look at jobs."""
        jobs = self.ctx.destination.jobs
        return 0.0 if jobs is None else max(jobs.pause, self._waited * SHARE_OF_WAITING)

    def _note_pause(self, seconds: float) -> None:
        self.has_paused = True
        self._waited += seconds

    def _begin_round(self) -> bool:
        """Pause before the open jobs are looked at again; whether any of them may have ended."""
        self.ctx.progress("wait for the destination's jobs", 0, len(self.open_jobs))
        if self._n_due:
            return True
        if not self.has_paused:
            pause = self._pause()
            self.ctx.destination.wait(pause)
            self._unrenewed += pause
            self._note_pause(pause)
        self.has_paused = False
        try:
            running = set(self.ctx.destination.still_running([batch.job or "" for batch in self.open_jobs]))
        except Exception as error:  # it is asked first, and again: nothing else would be answered either
            self.halt = error
            return False
        self.open_jobs.sort(key=lambda batch: batch.job in running)
        self._n_due = sum(batch.job not in running for batch in self.open_jobs)
        return self._n_due > 0


def _commit_outcomes(
    con: duckdb.DuckDBPyConnection, scope: Scope, lease: leases.Lease, results: Sequence[Result]
) -> list[ledger.Batch]:
    """Write them down; the batches for which the destination has a job, without the content that it has been sent."""
    con.execute("begin")
    ledger.record_outcomes(con, scope, lease.sync_run_id, results)
    leases.renew(con, lease)
    con.execute("commit")
    failpoint("sync.committed")
    return [
        replace(batch, records=accepted, job=result.job)
        for batch, result in results
        if result.job
        and (
            accepted := tuple(
                replace(r, fields=_NO_FIELDS) for r in batch.records if result.of(r.key).kind == "accepted"
            )
        )
    ]


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
