"""How a plan is made: what is there is pulled, compared with what is wanted, and stored; or refused."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger, outbox
from reverse_etl.context import SyncContext
from reverse_etl.diff import GONE, HASH_VERSION, Scope, check_model
from reverse_etl.errors import GuardTripped
from reverse_etl.expiry import expired
from reverse_etl.items import write_items
from reverse_etl.plan import Plan, by_reason, estimate, items_fingerprint, segment_plans, total, tripped_guards
from reverse_etl.remote import look_at_segments, pull_members
from warehouse.clock import read_clock, utcnow
from warehouse.connection import connect
from warehouse.errors import DataError, RefusedError
from warehouse.ids import new_id

_NO_END = datetime(9999, 12, 31)
NO_ADDRESSES = (
    "This sync names no model of `addresses`: a refusal at one address of a person does not reach her other ones here."
)


def as_of_rows(con: duckdb.DuckDBPyConnection, ctx: SyncContext) -> datetime | None:
    """The instant that the activation rows speak of; the schema's clock when there are no rows.

    Raises:
        DataError: it is none.
    """
    model = f'"{ctx.settings.schema}"."{ctx.declaration.model}"'
    try:
        newest = con.execute(f"select max(as_of) from {model}").fetchall()[0][0]
    except duckdb.Error:
        newest = None
    if newest is None:
        try:
            return read_clock(con, ctx.settings.schema).as_of
        except DataError:
            return None
    # infinity is read as the last instant there is
    if not isinstance(newest, datetime) or newest.tzinfo is not None or newest >= _NO_END:
        raise DataError(
            "as_of has to be a timestamp without a zone, and an end.",
            where=f"{ctx.settings.schema}.{ctx.declaration.model}.as_of",
            todo="cast it in the model",
        )
    return newest


def refuse_older(con: duckdb.DuckDBPyConnection, ctx: SyncContext, as_of: datetime | None) -> None:
    newest = con.execute(
        """select max(r.as_of) from ledger.sync_runs as r
           where r.sync_name = ? and r.destination = ? and (
               r.status = 'succeeded'
               or exists (select 1 from ledger.sync_attempts as a where a.sync_run_id = r.sync_run_id)
           )""",
        [ctx.declaration.name, ctx.destination.key],
    ).fetchall()[0][0]
    if newest is not None and as_of is not None and as_of < newest and "older_as_of" not in ctx.overrides:
        raise RefusedError(
            f"These rows are as of {as_of:%Y-%m-%d %H:%M}, older than what was last synced ({newest:%Y-%m-%d %H:%M}).",
            where=f"{ctx.settings.schema}.{ctx.declaration.model}",
            todo="build with a later --as-of; or override the guard older_as_of",
        )


def _left_in_segments(con: duckdb.DuckDBPyConnection, scope: Scope) -> list[str]:
    """A note, where a sync mirrored segments and does so no longer."""
    if scope.declaration.segments is not None:
        return []
    n = con.execute(
        f"""select count(*) from ledger.sync_state where sync_name = ? and destination = ? and object = 'membership'
            and (is_doubtful or coalesce(confirmed_hash, '{GONE}') <> '{GONE}')""",
        [scope.sync_name, scope.destination],
    ).fetchall()[0][0]
    if n == 0:
        return []
    return [
        f"This sync mirrors no segments any longer: {n} memberships stay at the destination as they are. To end them, "
        "sync with `segments` and an empty `include` first."
    ]


def make_plan(ctx: SyncContext, sync_run_id: str | None, notes: Collection[str], lease: leases.Lease) -> Plan:
    """Pull what is there, compare, store the plan and its items."""
    declaration, destination = ctx.declaration, ctx.destination
    ctx.progress("check the destination", 0, 1)
    destination.check()
    outbox.check_destination(declaration, destination)
    missing = destination.missing_fields([mapping.spec for mapping in declaration.fields])
    ctx.progress("read the destination's members", 0, 1)
    have = {m.field for m in declaration.fields} - {f.key for f in missing}
    pull_members(ctx.settings, destination, [tag for tag in declaration.filled_if_empty if tag in have])
    mirror = declaration.segments
    there = look_at_segments(ctx.settings, destination, mirror.prefix) if mirror else {}
    ctx.progress("compare", 0, 1)
    with connect(ctx.settings, purpose=f"plan {declaration.name}") as con:
        plan_id = new_id("plan")
        scope = Scope(plan_id, ctx.settings.schema, declaration, destination.key, ctx.overrides)
        con.execute("begin")
        leases.renew(con, lease)
        if ctx.gate is not None:
            ctx.gate(con, ctx.settings)
        n_source = check_model(con, scope, with_keys=False)  # keys are looked at with the items
        outbox.check_model(con, scope)
        as_of = as_of_rows(con, ctx)
        refuse_older(con, ctx, as_of)
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
            schema=ctx.settings.schema,
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
            guards=(
                *tripped_guards(con, scope, n_source, members),
                *expired(con, scope, as_of),
                *outbox.tripped_guards(con, scope, events),
            ),
            notes=(*notes, *([] if declaration.addresses else [NO_ADDRESSES]), *_left_in_segments(con, scope)),
        )
        con.execute(
            "insert into ledger.sync_plans values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [plan_id, sync_run_id, declaration.name, destination.key, made.schema, as_of, HASH_VERSION,
             json.dumps(made.to_dict()), utcnow()],
        )  # fmt: skip
        con.execute("commit")
    return made


def refuse_guards(made: Plan, overrides: frozenset[str]) -> None:
    tripped = [guard for guard in made.guards if guard.name not in overrides]
    if tripped:
        names = sorted({guard.name for guard in tripped})
        raise GuardTripped(
            " ".join(f"{guard.name}: {guard.message}" for guard in tripped),
            where=f"sync '{made.sync_name}', plan {made.plan_id}",
            todo=f"look at the data; if it is right, override by name: {', '.join(names)}",
        )


def refuse_later(made: Plan, overrides: frozenset[str]) -> None:
    """The same of a later plan of a run: the model may be another by now. Who was created a moment ago may not be seen
    yet."""
    refuse_guards(made, overrides | {"vanished", "first_run"})
