"""The outbox: events that happened to people, each of them sent once. SQL alone: nothing here speaks to a destination.

A write of fields or memberships may be repeated; an event may not, because it starts a flow that sends mail. So

- an event is `sent` in the ledger before it goes out, and content that was sent once is kept until it is confirmed;
- where the destination knows events by our key, one that was not answered is sent again, as it was, with that key;
- where it does not, one that was not answered stays `in_doubt` for ever, unless a person decides otherwise;
- what certainly did nothing (throttled, no connection) is sent again by the next plan.

What is pending is made anew by each plan. Whom an event is about is looked at when the plan is made, and again when
the event goes out: she has to be subscribed at the destination, and consent has to say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb

from reverse_etl.columns import ANYTHING, INSTANT, TEXT, check_columns, check_values
from reverse_etl.declaration import Events, SyncDeclaration
from reverse_etl.destination import Destination, Event
from reverse_etl.diff import (
    FINAL_CLASSES,
    Scope,
    addresses_sql,
    listed,
    subscribable_sql,
)
from reverse_etl.errors import DestinationConfigError
from reverse_etl.plan import Counts, Guard, total
from warehouse.clock import utcnow
from warehouse.errors import DataError

SHARE_OF_PEOPLE = 0.2
"""Of the people who are subscribed there: so many events may be sent without anybody having said how many."""
MAY_HAVE_ARRIVED = ("sent", "in_doubt")
CLOSED = ("confirmed", "skipped")
"""States in which nothing is ever sent again by itself, so that the content is not kept."""

_ELSEWHERE = """select record_key from ledger.sync_state
    where destination = $destination and sync_name <> $sync_name and object = 'event'
        and (state <> 'rejected' or is_doubtful)"""
"""SQL: events that another sync told, or may have told, this destination."""
_NEVER_TOLD = "(s.record_key is null or (s.state = 'rejected' and not s.is_doubtful))"
"""SQL: this sync has not told the event, for certain (alias `s`, left joined)."""


def check_destination(declaration: SyncDeclaration, destination: Destination) -> None:
    """
    Raises:
        DestinationConfigError: it takes no events, or none of these names.
    """
    events = declaration.events
    if events is None:
        return
    if destination.events_are_keyed is None:
        raise DestinationConfigError(
            f"The destination '{destination.kind}' takes no events.",
            where=f"`events` of the sync '{declaration.name}'",
            todo="leave `events` out; a flow there can start when somebody enters a segment that is mirrored",
        )
    destination.check_events(list(events.names.values()), [name for _, name in events.named_columns])


def check_model(con: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    """
    Raises:
        DataError: the model of events is not there, an event is in it twice, or has no person or time.
        ConfigError: it lacks a column that the declaration names, or has one of another type.
    """
    events = scope.declaration.events
    if events is None:
        return
    needed = dict.fromkeys((column for column, _ in events.named_columns), ANYTHING)
    needed |= dict.fromkeys(("event_id", "subscriber_hash", "consent_verdict", "event_name"), TEXT)
    needed["occurred_at"] = INSTANT
    check_columns(con, scope.schema, events.model, needed, scope.sync_name)
    never = "occurred_at is null or not isfinite(occurred_at)"
    wrong = {"subscriber_hash": "subscriber_hash is null", "occurred_at": never}
    check_values(con, scope.schema, events.model, wrong)
    rows, keys = con.execute(
        f'select count(*), count(distinct event_id) from "{scope.schema}"."{events.model}"'
    ).fetchall()[0]
    if rows != keys:
        raise DataError(
            f"{rows - keys} rows of the model have no key of their own: one row per event is needed.",
            where=f"{scope.schema}.{events.model}.event_id",
            todo="correct the model; its `unique` and `not_null` tests name the rows",
        )


def now_of_rows(con: duckdb.DuckDBPyConnection, schema: str, as_of: datetime) -> datetime:
    """What time it is by the clock that events are dated by: the wall clock, as far as builds follow it.

    Where `as_of` was stated (pinned, or a look at the past) it is `as_of` and what passed since that instant was first
    built: a sync that is run long after must not take what was new then for new, nor does building the same instant
    again (a second stage with newer predictions) make it any younger. Rows that no build made stand still.
    """
    built_at = con.execute(
        """select min(finished_at) from ops.builds where schema_name = $schema and status = 'succeeded'
           and as_of = (select max(as_of) from ops.builds where schema_name = $schema and status = 'succeeded')""",
        {"schema": schema},
    ).fetchall()[0][0]
    if built_at is None:
        return as_of
    is_stated = schema.startswith("asof_") or con.execute("select 1 from ops.pinned_clock").fetchall()
    return as_of + max(utcnow() - (built_at if is_stated else as_of), timedelta(0))


def write_items(
    con: duckdb.DuckDBPyConnection, scope: Scope, destination: Destination, as_of: datetime | None
) -> dict[tuple[str, str], int]:
    """Add the events to a plan whose members are planned already; counts by (operation, reason)."""
    events = scope.declaration.events
    values = {"sync_name": scope.sync_name, "destination": scope.destination}
    con.execute(
        f"""delete from ledger.outbox as o where sync_name = $sync_name and destination = $destination
            and not exists (
                select 1 from ledger.sync_state as s
                where s.sync_name = o.sync_name and s.destination = o.destination and s.object = 'event'
                    and s.record_key = o.event_id and s.state not in ({listed(CLOSED)})
            )""",
        values,
    )
    if events is None or as_of is None:
        return {}
    now = now_of_rows(con, scope.schema, as_of)
    con.execute(
        f"create temp table judged_events as {_judged_sql(scope, events, bool(destination.events_are_keyed))}",
        {**values, "plan_id": scope.plan_id, "as_of": as_of, "oldest": now - events.oldest},
    )
    con.execute(
        """insert into ledger.outbox
           select $sync_name, $destination, event_id, subscriber_hash, event_name, occurred_at, properties
           from judged_events where operation = 'event'
           on conflict (sync_name, destination, event_id) do nothing""",
        values,
    )
    con.execute(
        """insert into ledger.sync_plan_items
           with numbered as (
               select *, row_number() over (partition by operation order by occurred_at, event_id) as position
               from judged_events where reason is distinct from 'before_first_run'
           )
           select $plan_id, $sync_name, $destination, 'event', event_id, subscriber_hash, null, operation, reason,
               content_hash,
               case
                   when operation = 'event'
                       then $first + 1 + cast(floor((position - 1) / cast($size as double precision)) as integer)
               end
           from numbered""",
        {**values, "plan_id": scope.plan_id, "size": destination.batch_size("event"),
         "first": _last_batch(con, scope)},
    )  # fmt: skip
    counted = con.execute(
        "select operation, coalesce(reason, ''), count(*) from judged_events group by operation, coalesce(reason, '')"
    ).fetchall()
    con.execute("drop table judged_events")
    return {(operation, reason): n for operation, reason, n in counted}


def _last_batch(con: duckdb.DuckDBPyConnection, scope: Scope) -> int:
    return con.execute(
        "select coalesce(max(batch_number), 0) from ledger.sync_plan_items where plan_id = ?", [scope.plan_id]
    ).fetchall()[0][0]


def _judged_sql(scope: Scope, events: Events, is_keyed: bool) -> str:
    """One row per event that may have to be sent, with what is to be done about it."""
    pairs = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}', e.{column}" for column, name in events.named_columns)
    doubtful = "false" if is_keyed else f"s.state in ({listed(MAY_HAVE_ARRIVED)})"
    mine = "sync_name = $sync_name and destination = $destination"
    return f"""
    with
    known as (select * from ledger.sync_state where {mine} and object = 'event'),
    starts as (select event_name, baseline_at from ledger.outbox_baselines where {mine}),
    model as (
        select
            e.event_id, e.subscriber_hash, e.consent_verdict, e.event_name, e.occurred_at,
            cast(json_object({pairs}) as text) as properties
        from "{scope.schema}"."{events.model}" as e
        left join starts as b on e.event_name = b.event_name
        where
            e.event_name in ({listed(tuple(events.names))})
            -- history is counted once, by the first run
            and (b.baseline_at is null or e.occurred_at > b.baseline_at)
    ),
    candidates as (
        -- what was sent once: as it was then, whatever the model says of it by now
        select
            o.event_id, o.subscriber_hash, coalesce(m.consent_verdict, 'subscribe') as consent_verdict, o.event_name,
            o.occurred_at, o.properties
        from ledger.outbox as o
        left join model as m on o.event_id = m.event_id
        where o.sync_name = $sync_name and o.destination = $destination
            and o.event_name in ({listed(tuple(events.names))})
        union all
        select m.* from model as m
        left join known as s on m.event_id = s.record_key
        where coalesce(s.state, '') not in ({listed(CLOSED)})
            and m.event_id not in (select event_id from ledger.outbox where {mine})
    ),
    hashed as (
        select
            *,
            md5(event_name || chr(31) || cast(occurred_at as text) || chr(31) || properties)
            || '/' || md5(event_name || chr(31) || cast(occurred_at as text)) as content_hash
        from candidates
    ),
    addresses as ({addresses_sql(scope)}),
    -- a person whose address, or whose profile, became another one has been told already
    told as (
        select distinct
            a.subscriber_hash, split_part(s.sent_hash, '/', 1) as content, split_part(s.sent_hash, '/', 2) as happening
        from known as s
        inner join addresses as b on s.subscriber_hash = b.subscriber_hash
        inner join addresses as a on b.profile_id = a.profile_id and b.subscriber_hash <> a.subscriber_hash
        where s.state <> 'rejected' or s.is_doubtful
    ),
    -- what none of her events says any longer was worded anew since: each one of that kind and instant may be it
    reworded as (
        select distinct t.subscriber_hash, t.happening
        from told as t
        left join hashed as h
            on t.subscriber_hash = h.subscriber_hash and t.content = split_part(h.content_hash, '/', 1)
        where t.happening <> '' and h.event_id is null
    ),
    remote as (select subscriber_hash, status from ledger.remote_members where destination = $destination),
    consenting as ({subscribable_sql(scope)}),
    creating as (
        select subscriber_hash from ledger.sync_plan_items
        where plan_id = $plan_id and object = 'member' and operation = 'create'
    ),
    reasons as (
        select
            h.*,
            case
                when s.state = 'rejected' and s.rejected_class in ({listed(FINAL_CLASSES)}) then s.rejected_class
                when {doubtful} then 'in_doubt'
            end as held_reason,
            case
                when s.record_key is null and h.occurred_at <= coalesce(b.baseline_at, $as_of) then 'before_first_run'
                when h.occurred_at < $oldest then 'too_old'
                when h.consent_verdict is distinct from 'subscribe' or c.subscriber_hash is null then 'no_consent'
                when {_NEVER_TOLD} and coalesce(t.content, w.happening) is not null then 'told_at_another_address'
                when {_NEVER_TOLD} and h.event_id in ({_ELSEWHERE}) then 'told_by_another_sync'
                when r.status = 'subscribed' or n.subscriber_hash is not null then null
                when r.subscriber_hash is null then 'not_a_member'
                else r.status || '_in_destination'
            end as blocked_reason
        from hashed as h
        left join known as s on h.event_id = s.record_key
        left join starts as b on h.event_name = b.event_name
        left join (select distinct subscriber_hash, content from told) as t
            on h.subscriber_hash = t.subscriber_hash and split_part(h.content_hash, '/', 1) = t.content
        left join reworded as w
            on h.subscriber_hash = w.subscriber_hash and split_part(h.content_hash, '/', 2) = w.happening
        left join consenting as c on h.subscriber_hash = c.subscriber_hash
        left join remote as r on h.subscriber_hash = r.subscriber_hash
        left join creating as n on h.subscriber_hash = n.subscriber_hash
    )
    select
        event_id, subscriber_hash, event_name, occurred_at, properties, content_hash,
        case when held_reason is not null then 'held' when blocked_reason is not null then 'blocked' else 'event' end
            as operation,
        coalesce(held_reason, blocked_reason) as reason
    from reasons
    """


def tripped_guards(con: duckdb.DuckDBPyConnection, scope: Scope, counts: Counts) -> list[Guard]:
    """The guard `max_events`, if a plan would send more."""
    guards, n = scope.declaration.guards, total(counts, "event")
    most = guards.max_events
    if most is None:
        people = con.execute(
            "select count(*) from ledger.remote_members where destination = ? and status = 'subscribed'",
            [scope.destination],
        ).fetchall()[0][0]
        most = max(guards.min_records, int(people * SHARE_OF_PEOPLE))
    return [Guard("max_events", f"{n} events would be sent; at most {most} may.")] if n > most else []


def note_beginning(con: duckdb.DuckDBPyConnection, scope: Scope, as_of: datetime | None) -> None:
    """From when on each kind of event is sent: from the first run on that has it. One that is left out begins anew."""
    names = list(scope.declaration.events.names) if scope.declaration.events else []
    values: dict[str, object] = {
        "sync_name": scope.sync_name, "destination": scope.destination, "names": names,
    }  # fmt: skip
    con.execute(
        """delete from ledger.outbox_baselines where sync_name = $sync_name and destination = $destination
           and event_name not in (select unnest(cast($names as text[])))""",
        values,
    )
    if names and as_of is not None:
        con.execute(
            """insert into ledger.outbox_baselines
               select $sync_name, $destination, unnest(cast($names as text[])), $as_of, $now
               on conflict (sync_name, destination, event_name) do nothing""",
            {**values, "as_of": as_of, "now": utcnow()},
        )


def wave_sql(scope: Scope, items: str) -> str:
    """Events of a plan's batches as they may still be sent: of whom consent and the destination say so now."""
    return f"""
        select i.batch_number, i.operation, i.record_key, i.subscriber_hash, i.desired_hash, r.email, r.remote_id,
            null as segment_id, o.event_name, o.occurred_at, o.properties,
            coalesce(s.is_doubtful, false) as may_be_there
        {items}
        inner join ledger.outbox as o
            on i.sync_name = o.sync_name and i.destination = o.destination and i.record_key = o.event_id
        inner join (select * from ledger.remote_members where destination = $destination) as r
            on i.subscriber_hash = r.subscriber_hash
        left join ledger.sync_state as s
            on i.sync_name = s.sync_name and i.destination = s.destination and s.object = 'event'
            and i.record_key = s.record_key
        where r.status = 'subscribed' and i.subscriber_hash in ({subscribable_sql(scope)})
            and (not {_NEVER_TOLD} or i.record_key not in ({_ELSEWHERE}))
        order by i.batch_number, o.occurred_at, i.record_key"""


def event_of(events: Events, row: Mapping[str, Any]) -> Event:
    """The record of a row of `wave_sql`; what JSON has no number for is no value."""
    told = json.loads(row["properties"], parse_constant=lambda _: None)
    return Event(
        key=row["record_key"],
        email=row["email"],
        fields={name: value for name, value in told.items() if value is not None},
        remote_id=row["remote_id"],
        subscriber_hash=row["subscriber_hash"],
        name=events.names[row["event_name"]],
        occurred_at=row["occurred_at"],
        may_be_there=row["may_be_there"],
    )
