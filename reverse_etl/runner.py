"""plan → sync. The order of things, and nothing else: plans are made in `planning`, sent in `sending`; SQL is in `diff`
and `ledger`, HTTP in the destinations.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import replace

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger
from reverse_etl.context import Gate, Progress, SyncContext, new_context, stopping
from reverse_etl.destination import Destination, Traffic
from reverse_etl.errors import Stopped, without_secrets
from reverse_etl.plan import Plan
from reverse_etl.planning import as_of_rows, make_plan, refuse_guards, refuse_later, refuse_older
from reverse_etl.remote import remember_segment
from reverse_etl.report import Applied, SyncReport, report_of
from reverse_etl.sending import Tally, apply, settle_older_jobs
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import MailwrightError, RefusedError
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

MOST_PASSES = 3


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
    ctx = new_context(settings, sync_name, destination, allow_schema, overrides, on_progress)
    notes: list[str] = []
    with connect(settings, purpose=f"plan {sync_name}") as con:
        ensure_state(con, settings)
        refuse_older(con, ctx, as_of_rows(con, ctx))
        if gate is not None:
            try:
                gate(con, settings)
            except RefusedError as error:
                notes.append(f"A sync would be refused. {error.what}")
        lease = leases.acquire(con, sync_name, ctx.destination.key, new_id("plan"))
    try:
        return make_plan(ctx, None, notes, lease)
    finally:
        with connect(settings, purpose=f"plan {sync_name}") as con:
            leases.release(con, lease)
        if destination is None:
            ctx.destination.close()


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
    ctx = replace(new_context(settings, sync_name, destination, allow_schema, overrides, on_progress), gate=gate)
    run_id = new_id("sync")
    with connect(settings, purpose=f"sync {sync_name}") as con:
        ensure_state(con, settings)
        as_of = as_of_rows(con, ctx)
        refuse_older(con, ctx, as_of)
        gate(con, settings)
        con.execute("begin")
        lease = leases.acquire(con, sync_name, ctx.destination.key, run_id)
        con.execute(
            "insert into ledger.sync_runs values (?, ?, ?, ?, ?, 'running', ?, null, null, null)",
            [run_id, sync_name, ctx.destination.key, settings.schema, as_of, utcnow()],
        )
        con.execute("commit")
    before = Traffic(**vars(ctx.destination.traffic))
    try:
        with stopping.listen():
            applied = _run(ctx, run_id, lease, plan, dry_run)
        with connect(settings, purpose=f"sync {sync_name}") as con:
            con.execute("begin")
            seconds = time.monotonic() - began
            report = report_of(con, ctx, run_id, as_of, applied, dry_run=dry_run, before=before, seconds=seconds)
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
            ctx.destination.close()


def _finish(
    con: duckdb.DuckDBPyConnection, lease: leases.Lease, status: str, message: str | None, report: str | None
) -> None:
    con.execute(
        """update ledger.sync_runs set status = ?, finished_at = ?, message = ?, report = ?
           where sync_run_id = ? and status = 'running'""",
        [status, utcnow(), message, report, lease.sync_run_id],
    )
    leases.release(con, lease)


def _run(ctx: SyncContext, run_id: str, lease: leases.Lease, wanted: Plan | None, dry_run: bool) -> Applied:
    """Plan and apply, again while another pass may get more through."""
    tally = Tally()
    if not dry_run:
        settle_older_jobs(ctx, lease, tally)
    first = current = make_plan(ctx, run_id, (), lease)
    if wanted is not None and wanted.counts() != first.counts():
        raise RefusedError(
            "The data moved since that plan was made.",
            where=f"plan {wanted.plan_id}",
            todo="look at a new plan with `mailwright plan`, then sync that one",
        )
    if dry_run:
        return Applied(first)
    refuse_guards(first, ctx.overrides)
    retired = 0
    # a plan that somebody looked at is applied once: what another pass would send, nobody has seen
    most_passes = MOST_PASSES if wanted is None else 1
    for number in range(1, most_passes + 1):
        if current.fields_to_create or current.segments_to_create:
            _create_what_is_missing(ctx, current)
            before, current = current, make_plan(ctx, run_id, (), lease)
            refuse_later(current, ctx.overrides)
            if wanted is not None and current.moves() != before.moves():
                raise RefusedError(
                    "The data moved while the plan was being applied.",
                    where=f"plan {wanted.plan_id}",
                    todo="look at a new plan with `mailwright plan`, then sync that one",
                )
        retired += apply(ctx, lease, current, tally)
        with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
            keyed = bool(ctx.destination.events_are_keyed)
            is_done = ledger.open_records(con, run_id, are_events_repeated=keyed) == 0
        if is_done or number == most_passes:
            return Applied(first, number, retired, tally.unexpected)
        stopping.check()
        current = make_plan(ctx, run_id, (), lease)
        refuse_later(current, ctx.overrides)
    raise AssertionError("unreachable")


def _create_what_is_missing(ctx: SyncContext, made: Plan) -> None:
    specs = [m.spec for m in ctx.declaration.fields if m.field in made.fields_to_create]
    ctx.destination.create_fields(specs)
    for name in made.segments_to_create:
        remote_id = ctx.destination.create_segment(name)
        with connect(ctx.settings, purpose=f"sync {ctx.declaration.name}") as con:
            remember_segment(con, ctx.destination.key, name, remote_id, utcnow())
