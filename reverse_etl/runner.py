"""plan → sync. The order of things, and nothing else: SQL is in `diff` and `ledger`, HTTP in the destinations.

HTTP never happens under the writer's lock. A wave of batches is marked as sent and committed, goes out, and its
outcomes are committed; a crash anywhere leaves records that count as possibly done, and the next run sends those
again or looks them up.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger, outbox
from reverse_etl.connect import open_destination
from reverse_etl.declaration import SyncDeclaration, read_sync
from reverse_etl.destination import BatchOutcome, Destination, Event, Jobs, Operation, Traffic
from reverse_etl.diff import HASH_VERSION, Scope, check_model
from reverse_etl.errors import DestinationConfigError, DestinationDown, GuardTripped, Stopped, without_secrets
from reverse_etl.items import write_items
from reverse_etl.plan import (
    Plan,
    SyncReport,
    by_reason,
    estimate,
    items_fingerprint,
    newest_load,
    segment_plans,
    total,
    tripped_guards,
)
from reverse_etl.remote import look_at_segments, pull_members, remember_segment
from warehouse.clock import read_clock, utcnow
from warehouse.connection import connect
from warehouse.errors import DataError, MailwrightError, RefusedError
from warehouse.failpoints import failpoint
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

BATCHES_PER_WAVE = 16
PEOPLE_PER_WAVE = 8_000
SHARE_PER_WAVE = 0.005
MOST_PEOPLE_PER_WAVE = 50_000
LOG_FROM = 1_000_000
"""With so many people in the model a wave's writes wait in the log: a checkpoint of the ledger would cost more than to
read the log again when the next wave opens the file. The run's last connection folds it in."""
MOST_PASSES = 3
NO_ADDRESSES = (
    "This sync names no model of `addresses`: a refusal at one address of a person does not reach her other ones here."
)
MOST_SILENT_WAVES = 2


def people_per_wave(n_source: int) -> int:
    """How many people may be in doubt after a crash, where that is more than 16 batches.

    A wave takes two commits and a look through the model and the ledger: it is larger where batches are small, and
    where there are more people to look through.
    """
    return min(MOST_PEOPLE_PER_WAVE, max(PEOPLE_PER_WAVE, int(SHARE_PER_WAVE * n_source)))


class _Stopping:
    """Whether this process was asked to end (SIGTERM): a run then finishes what is under way and stops in between."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """From here on SIGTERM is a wish. In another thread than the main one the process's owner has to see to it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._asked.clear()
        before = signal.signal(signal.SIGTERM, lambda *_: self._asked.set())
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def check(self) -> None:
        """
        Raises:
            Stopped: the process was asked to end.
        """
        if self._asked.is_set():
            raise Stopped(
                "The run was asked to end and stopped between two batches.",
                todo="nothing: what was confirmed is kept, the next run does the rest",
            )


_stopping = _Stopping()


class Gate(Protocol):
    """Refuses (RefusedError) unless every check passed for what the sync reads."""

    def __call__(self, con: duckdb.DuckDBPyConnection, settings: Settings, /) -> object: ...


Result = tuple[ledger.Batch, BatchOutcome]
Progress = Callable[[str, int, int], None]
"""(what is being done, done so far, of how many)."""


@dataclass
class _Tally:
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


def _silent(_: str, __: int, ___: int) -> None:
    return None


@dataclass(frozen=True)
class _Job:
    """What the steps of one plan or sync share."""

    settings: Settings
    declaration: SyncDeclaration
    destination: Destination
    overrides: frozenset[str]
    progress: Progress
    gate: Gate | None = None
    """Asked again in the transaction that compares: the model may have been rebuilt since the run began."""


def _job(
    settings: Settings,
    sync_name: str,
    destination: Destination | None,
    allow_schema: str | None,
    overrides: Collection[str],
    progress: Progress | None,
) -> _Job:
    declaration = read_sync(settings, sync_name)
    if not settings.is_production and allow_schema != settings.schema:
        raise RefusedError(
            f"Schema '{settings.schema}' is not production: its people may be a trial, or the past.",
            where=f"sync '{sync_name}'",
            todo=f"build and sync with the target prod, or allow this one by name: --allow-schema {settings.schema}",
        )
    return _Job(
        settings,
        declaration,
        destination or open_destination(declaration),
        frozenset(overrides),
        progress or _silent,
    )


def _as_of(con: duckdb.DuckDBPyConnection, job: _Job) -> datetime | None:
    """The instant that the activation rows speak of; the schema's clock when there are no rows."""
    model = f'"{job.settings.schema}"."{job.declaration.model}"'
    try:
        newest = con.execute(f"select max(as_of) from {model}").fetchall()[0][0]
    except duckdb.Error:
        newest = None
    if newest is None:
        try:
            return read_clock(con, job.settings.schema).as_of
        except DataError:
            return None
    return newest


def _refuse_older(con: duckdb.DuckDBPyConnection, job: _Job, as_of: datetime | None) -> None:
    newest = con.execute(
        """select max(r.as_of) from ledger.sync_runs as r
           where r.sync_name = ? and r.destination = ? and (
               r.status = 'succeeded'
               or exists (select 1 from ledger.sync_attempts as a where a.sync_run_id = r.sync_run_id)
           )""",
        [job.declaration.name, job.destination.key],
    ).fetchall()[0][0]
    if newest is not None and as_of is not None and as_of < newest and "older_as_of" not in job.overrides:
        raise RefusedError(
            f"These rows are as of {as_of:%Y-%m-%d %H:%M}, older than what was last synced ({newest:%Y-%m-%d %H:%M}).",
            where=f"{job.settings.schema}.{job.declaration.model}",
            todo="build with a later --as-of; or override the guard older_as_of",
        )


def plan(
    settings: Settings,
    sync_name: str,
    *,
    destination: Destination | None = None,
    gate: Gate | None = None,
    allow_schema: str | None = None,
    overrides: Collection[str] = (),
    on_progress: Progress | None = None,
) -> Plan:
    """What a sync would do now. Reads the destination, writes nothing to it.

    A `gate` that refuses is noted in the plan instead of raised, so that one can see both.
    """
    job = _job(settings, sync_name, destination, allow_schema, overrides, on_progress)
    notes: list[str] = []
    with connect(settings, purpose=f"plan {sync_name}") as con:
        ensure_state(con, settings)
        _refuse_older(con, job, _as_of(con, job))
        if gate is not None:
            try:
                gate(con, settings)
            except RefusedError as error:
                notes.append(f"A sync would be refused. {error.what}")
        lease = leases.acquire(con, sync_name, job.destination.key, new_id("plan"))
    try:
        return _make_plan(job, None, notes, lease)
    finally:
        with connect(settings, purpose=f"plan {sync_name}") as con:
            leases.release(con, lease)
        if destination is None:
            job.destination.close()


def _make_plan(job: _Job, sync_run_id: str | None, notes: Collection[str], lease: leases.Lease) -> Plan:
    """Pull what is there, compare, store the plan and its items."""
    declaration, destination = job.declaration, job.destination
    job.progress("check the destination", 0, 1)
    destination.check()
    outbox.check_destination(declaration, destination)
    missing = destination.missing_fields([mapping.spec for mapping in declaration.fields])
    job.progress("read the destination's members", 0, 1)
    have = {m.field for m in declaration.fields} - {f.key for f in missing}
    pull_members(job.settings, destination, [tag for tag in declaration.filled_if_empty if tag in have])
    mirror = declaration.segments
    there = look_at_segments(job.settings, destination, mirror.prefix) if mirror else {}
    job.progress("compare", 0, 1)
    with connect(job.settings, purpose=f"plan {declaration.name}") as con:
        plan_id = new_id("plan")
        scope = Scope(plan_id, job.settings.schema, declaration, destination.key, job.overrides)
        con.execute("begin")
        leases.renew(con, lease)
        if job.gate is not None:
            job.gate(con, job.settings)
        n_source = check_model(con, scope, with_keys=False)  # keys are looked at with the items
        outbox.check_model(con, scope)
        as_of = _as_of(con, job)
        _refuse_older(con, job, as_of)
        first = not con.execute(
            "select 1 from ledger.sync_state where sync_name = ? and destination = ? limit 1",
            [declaration.name, destination.key],
        ).fetchall()
        members, memberships = write_items(con, scope, destination, n_source)
        ledger.leave_in_doubt(con, scope)
        events = outbox.write_items(con, scope, destination, as_of)
        segments = segment_plans(con, plan_id)
        new_segments = tuple(name for name, one in segments.items() if one.entering and name not in there)
        requests, minutes = estimate(con, plan_id, destination, len(missing) + len(new_segments))
        n_remote = con.execute(
            "select count(*) from ledger.remote_members where destination = ?", [destination.key]
        ).fetchall()[0][0]
        held = by_reason(members, "held")
        for name, n in (*by_reason(memberships, "held").items(), *by_reason(events, "held").items()):
            held[name] = held.get(name, 0) + n
        made = Plan(
            plan_id=plan_id,
            sync_name=declaration.name,
            destination=destination.key,
            schema=job.settings.schema,
            as_of=as_of,
            n_source=n_source,
            n_remote=n_remote,
            created=total(members, "create"),
            updated=total(members, "update"),
            lowered=total(members, "lower"),
            cleared=total(members, "clear"),
            entering=total(memberships, "add"),
            leaving=total(memberships, "remove") + total(memberships, "retire"),
            unchanged=total(members, "unchanged"),
            memberships_unchanged=total(memberships, "unchanged"),
            held=held,
            blocked=by_reason(members, "blocked"),
            memberships_blocked=total(memberships, "blocked"),
            segments=segments,
            fields_to_create=tuple(spec.key for spec in missing),
            segments_to_create=new_segments,
            requests=requests,
            estimated_minutes=minutes,
            is_first_run=first,
            items_fingerprint=items_fingerprint(con, plan_id),
            events=total(events, "event"),
            events_blocked=by_reason(events, "blocked"),
            guards=(*tripped_guards(con, scope, n_source, members), *outbox.tripped_guards(con, scope, events)),
            notes=(*notes, *([] if declaration.addresses else [NO_ADDRESSES])),
        )
        con.execute(
            "insert into ledger.sync_plans values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [plan_id, sync_run_id, declaration.name, destination.key, made.schema, as_of, HASH_VERSION,
             json.dumps(made.to_dict()), utcnow()],
        )  # fmt: skip
        con.execute("commit")
    return made


def sync(
    settings: Settings,
    sync_name: str,
    *,
    gate: Gate,
    plan: Plan | None = None,
    dry_run: bool = False,
    destination: Destination | None = None,
    allow_schema: str | None = None,
    overrides: Collection[str] = (),
    on_progress: Progress | None = None,
) -> SyncReport:
    """Bring the destination to what the activation models say, as far as consent, guards and the vendor let it.

    `gate` must refuse unless the upstream checks passed. `plan`: apply only if a plan made now counts the same.
    `overrides`: names of guards to pass over. `dry_run`: report what would be done.

    Raises:
        ConfigError: unknown sync or destination, wrong key, fields that do not fit.
        DataError: the model is not there or is wrong.
        RefusedError: gate, guard, lease, schema or an older `as_of`.
        RetriableError: the destination is down; what was confirmed is kept, the next run does the rest.
    """
    began = time.monotonic()
    job = replace(_job(settings, sync_name, destination, allow_schema, overrides, on_progress), gate=gate)
    run_id = new_id("sync")
    with connect(settings, purpose=f"sync {sync_name}") as con:
        ensure_state(con, settings)
        as_of = _as_of(con, job)
        _refuse_older(con, job, as_of)
        gate(con, settings)
        con.execute("begin")
        lease = leases.acquire(con, sync_name, job.destination.key, run_id)
        con.execute(
            "insert into ledger.sync_runs values (?, ?, ?, ?, ?, 'running', ?, null, null, null)",
            [run_id, sync_name, job.destination.key, settings.schema, as_of, utcnow()],
        )
        con.execute("commit")
    before = Traffic(**vars(job.destination.traffic))
    try:
        with _stopping.listen():
            first, retired, unexpected, passes = _run(job, run_id, lease, plan, dry_run)
        with connect(settings, purpose=f"sync {sync_name}") as con:
            con.execute("begin")
            report = _report(con, job, run_id, as_of, first, dry_run, before, time.monotonic() - began, passes)
            report = _extended(report, retired, unexpected)
            status = "dry_run" if dry_run else "succeeded" if report.is_complete else "incomplete"
            _finish(con, lease, status, None, json.dumps(report.to_dict()))
            con.execute("commit")
        return report
    except BaseException as error:
        status = "refused" if isinstance(error, RefusedError) else "stopped" if isinstance(error, Stopped) else "failed"
        message = error.what if isinstance(error, MailwrightError) else type(error).__name__
        with connect(settings, purpose=f"sync {sync_name}") as con:
            con.execute("begin")
            _finish(con, lease, status, without_secrets(message), None)
            con.execute("commit")
        raise
    finally:
        if destination is None:
            job.destination.close()


def _finish(
    con: duckdb.DuckDBPyConnection, lease: leases.Lease, status: str, message: str | None, report: str | None
) -> None:
    con.execute(
        """update ledger.sync_runs set status = ?, finished_at = ?, message = ?, report = ?
           where sync_run_id = ? and status = 'running'""",
        [status, utcnow(), message, report, lease.sync_run_id],
    )
    leases.release(con, lease)


def _run(job: _Job, run_id: str, lease: leases.Lease, wanted: Plan | None, dry_run: bool) -> tuple[Plan, int, int, int]:
    """Plan and apply, again while another pass may get more through; (first plan, retired, unexpected, passes)."""
    tally = _Tally()
    if not dry_run:
        _settle_older_jobs(job, lease, tally)
    first = current = _make_plan(job, run_id, (), lease)
    if wanted is not None and wanted.counts() != first.counts():
        raise RefusedError(
            "The data moved since that plan was made.",
            where=f"plan {wanted.plan_id}",
            todo="look at a new plan with `mailwright plan`, then sync that one",
        )
    if dry_run:
        return first, 0, 0, 0
    _refuse_guards(first, job.overrides)
    retired = 0
    # a plan that somebody looked at is applied once: what another pass would send, nobody has seen
    most_passes = MOST_PASSES if wanted is None else 1
    for number in range(1, most_passes + 1):
        if current.fields_to_create or current.segments_to_create:
            _create_what_is_missing(job, current)
            before, current = current, _make_plan(job, run_id, (), lease)
            _refuse_later(current, job.overrides)
            if wanted is not None and current.moves() != before.moves():
                raise RefusedError(
                    "The data moved while the plan was being applied.",
                    where=f"plan {wanted.plan_id}",
                    todo="look at a new plan with `mailwright plan`, then sync that one",
                )
        retired += _apply(job, lease, current, tally)
        with connect(job.settings, purpose=f"sync {job.declaration.name}") as con:
            keyed = bool(job.destination.events_are_keyed)
            is_done = ledger.open_records(con, run_id, are_events_repeated=keyed) == 0
        if is_done or number == most_passes:
            return first, retired, tally.unexpected, number
        current = _make_plan(job, run_id, (), lease)
        _refuse_later(current, job.overrides)
    raise AssertionError("unreachable")


def _refuse_guards(made: Plan, overrides: frozenset[str]) -> None:
    tripped = [guard for guard in made.guards if guard.name not in overrides]
    if tripped:
        names = sorted({guard.name for guard in tripped})
        raise GuardTripped(
            " ".join(f"{guard.name}: {guard.message}" for guard in tripped),
            where=f"sync '{made.sync_name}', plan {made.plan_id}",
            todo=f"look at the data; if it is right, override by name: {', '.join(names)}",
        )


def _refuse_later(made: Plan, overrides: frozenset[str]) -> None:
    """The same of a later plan of a run: the model may be another by now. Who was created a moment ago may not be seen
    yet."""
    _refuse_guards(made, overrides | {"vanished", "first_run"})


def _create_what_is_missing(job: _Job, made: Plan) -> None:
    specs = [m.spec for m in job.declaration.fields if m.field in made.fields_to_create]
    job.destination.create_fields(specs)
    for name in made.segments_to_create:
        remote_id = job.destination.create_segment(name)
        with connect(job.settings, purpose=f"sync {job.declaration.name}") as con:
            remember_segment(con, job.destination.key, name, remote_id, utcnow())


def _apply(job: _Job, lease: leases.Lease, made: Plan, tally: _Tally) -> int:
    """Send a plan's batches in waves; records that were retired."""
    settings, name, run_id = job.settings, job.declaration.name, lease.sync_run_id
    scope = Scope(made.plan_id, made.schema, job.declaration, job.destination.key, job.overrides)
    jobs = job.destination.jobs
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
    with ThreadPoolExecutor(job.destination.concurrency, thread_name_prefix="sync") as pool:
        for number, (operation, numbers) in enumerate([*waves, (None, [])]):
            job.progress("send", number, len(waves))
            if jobs is not None and results:
                with connect(settings, purpose=f"sync {name}", checkpoint=made.n_source < LOG_FROM) as con:
                    open_jobs += _commit_outcomes(con, scope, lease, results)
                tally.note(results)
                results = []
            if jobs is not None and open_jobs:
                # what follows may need what these do
                fewer_than = jobs.most_open if operation == before else 1
                open_jobs = _settle(job, scope, lease, open_jobs, jobs, fewer_than, tally)
            before = operation
            # one connection writes how the last wave ended, then takes the next one, in a transaction each
            with connect(settings, purpose=f"sync {name}", checkpoint=made.n_source < LOG_FROM) as con:
                if results:
                    _commit_outcomes(con, scope, lease, results)
                    tally.note(results)
                if not numbers:
                    break
                _stopping.check()
                con.execute("begin")
                leases.renew(con, lease)
                batches, too_large = ledger.take_wave(con, scope, run_id, numbers, job.destination)
                con.execute("commit")
            failpoint("sync.before_send")
            results = [*too_large, *pool.map(lambda batch: (batch, _send(job.destination, batch)), batches)]
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
    job: _Job,
    scope: Scope,
    lease: leases.Lease,
    batches: list[ledger.Batch],
    jobs: Jobs,
    fewer_than: int,
    tally: _Tally,
) -> list[ledger.Batch]:
    """Wait until fewer than so many jobs are open, or until none has ended for long; those that are open still."""
    waited = 0.0
    while len(batches) >= fewer_than:
        _stopping.check()
        job.progress("wait for the destination's jobs", 0, len(batches))
        with connect(job.settings, purpose=f"sync {job.declaration.name}") as con:
            batches, ended = ledger.without_withdrawn(con, scope, batches)
        running: list[ledger.Batch] = []
        stop: Exception | None = None
        for batch in batches:
            try:
                result = job.destination.poll(batch.job or "", batch.operation, batch.records) if stop is None else None
            except Exception as error:  # what the others answered in this round is written down first
                stop, result = error, None
            if result is None:
                running.append(batch)
            else:
                ended.append((batch, result))
                stop = stop or result.stop
        failpoint("sync.polled_uncommitted")
        with connect(job.settings, purpose=f"sync {job.declaration.name}") as con:
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
        job.destination.wait(jobs.pause)
        waited += jobs.pause
    return batches


def _settle_older_jobs(job: _Job, lease: leases.Lease, tally: _Tally) -> None:
    """Learn how the jobs ended that a run before this one left open: it was killed, or did not wait any longer."""
    jobs = job.destination.jobs
    if jobs is None:
        return
    with connect(job.settings, purpose=f"sync {job.declaration.name}") as con:
        batches = ledger.open_batches(con, job.declaration.name, job.destination.key)
        scope = Scope("", job.settings.schema, job.declaration, job.destination.key, job.overrides)
        if batches:
            check_model(con, scope)  # whoever withdrew since must be known
    if batches:
        job.destination.check()
        _settle(job, scope, lease, batches, jobs, 1, tally)


def _send(destination: Destination, batch: ledger.Batch) -> BatchOutcome:
    if batch.operation == "event":
        result = destination.send_events([record for record in batch.records if isinstance(record, Event)])
    elif batch.segment_id is not None:
        result = destination.set_membership(batch.segment_id, batch.operation, batch.records)
    else:
        result = destination.upsert(batch.operation, batch.records)
    failpoint("sync.sent_unanswered")
    return result


def _report(
    con: duckdb.DuckDBPyConnection,
    job: _Job,
    run_id: str,
    as_of: datetime | None,
    first: Plan,
    dry_run: bool,
    before: Traffic,
    seconds: float,
    passes: int,
) -> SyncReport:
    """Counts from the ledger (a dry run: from the plan), traffic from the client, latency from the loads."""
    done: dict[str, int] = {}
    rejected: dict[str, int] = {}
    in_doubt = 0
    waiting = con.execute(
        "select count(*) from ledger.sync_state where sync_name = ? and destination = ? and state = 'accepted'",
        [job.declaration.name, job.destination.key],
    ).fetchall()[0][0]
    for operation, outcome, why, n in ledger.results_of_run(con, run_id):
        if outcome == "confirmed":
            done[operation] = done.get(operation, 0) + n
        elif outcome == "rejected":
            rejected[why or "data"] = rejected.get(why or "data", 0) + n
        elif outcome != "accepted" and (operation != "event" or job.destination.events_are_keyed):
            in_doubt += n
    if dry_run:
        done = {"create": first.created, "update": first.updated, "lower": first.lowered, "clear": first.cleared,
                "add": first.entering, "remove": first.leaving, "event": first.events}  # fmt: skip
    loaded_at = newest_load(con, job.settings.schema)
    confirmed_at = con.execute(
        "select max(outcome_at) from ledger.sync_attempts where sync_run_id = ? and outcome = 'confirmed'", [run_id]
    ).fetchall()[0][0]
    traffic = job.destination.traffic
    return SyncReport(
        sync_run_id=run_id,
        sync_name=job.declaration.name,
        destination=job.destination.key,
        schema=job.settings.schema,
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
        events_in_doubt=ledger.events_in_doubt(con, job.declaration.name, job.destination.key),
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
        passes=passes,
        duration_seconds=round(seconds, 3),
        newest_loaded_at=loaded_at,
        latency_seconds=(confirmed_at - loaded_at).total_seconds() if confirmed_at and loaded_at else None,
        data_age_seconds=(as_of - loaded_at).total_seconds() if as_of and loaded_at else None,
        notes=first.notes,
    )


def _extended(report: SyncReport, retired: int, unexpected: int) -> SyncReport:
    notes: list[str] = list(report.notes)
    if unexpected:
        notes.append(
            f"{unexpected} people who were to be updated had been deleted there meanwhile, and the destination "
            "created them anew: look at them."
        )
    if report.events_in_doubt:
        notes.append(
            f"{report.events_in_doubt} events were sent and not answered. Where the destination knows events by no key "
            "they are not sent again; `mailwright sync rejected` lists them."
        )
    if report.writes == 0 and not report.is_dry_run:
        notes.append("Nothing differed: nothing was written to the destination.")
    return replace(report, retired=retired, notes=tuple(notes))
