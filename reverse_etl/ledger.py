"""The ledger: what was sent and what became of it. SQL alone; every function is a part of the caller's transaction.

Attempts are append-only ('sent', perhaps 'accepted' by a job, then 'confirmed', 'rejected' or 'in_doubt'), `sync_state`
is their fold, kept in the same transaction. The confirmed hash is the hash that was *sent* in the confirmed attempt,
whatever is desired by then. `is_doubtful` means: something was sent that may have taken effect, so what is confirmed
may not be what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import duckdb

from reverse_etl import outbox
from reverse_etl.destination import BatchOutcome, Destination, Operation, Outcome, Record
from reverse_etl.diff import (
    GONE,
    HASH_VERSION,
    MAILABLE,
    NEVER_SUBSCRIBED,
    UPDATABLE,
    Scope,
    listed,
    payload_hash,
    payload_struct,
    refused_ctes,
    subscribable_sql,
    wanted_memberships_sql,
)
from reverse_etl.errors import RejectedClass
from reverse_etl.payload import Formats, fields_of, formats_of
from warehouse.clock import utcnow
from warehouse.errors import DataError
from warehouse.ids import new_id

_ATTEMPT_COLUMNS = """attempt_number, sync_run_id, sync_name, destination, object, record_key, subscriber_hash,
    segment_name, batch_id, operation, sent_hash, hash_version, outcome, rejected_class, message, outcome_at,
    remote_job"""


EVENT_BATCHES_PER_WAVE = 16


@dataclass(frozen=True)
class Batch:
    """Records of one operation (and segment) that go out in one call."""

    batch_id: str
    operation: Operation
    records: tuple[Record, ...]
    segment_id: str | None = None
    job: str | None = None
    """The destination's job that decides over it."""


def waves(
    con: duckdb.DuckDBPyConnection, plan_id: str, batches: int, records: int, most: int | None = None
) -> list[tuple[Operation, list[int]]]:
    """Numbers of a plan's batches in the order of sending, in waves of one operation: of `batches`, or of so many more,
    up to `most`, as have together at most `records`. Of events there are never so many: what a killed run leaves in
    doubt stays so.

    Operations are not mixed: a membership can be sent only when the creation of its member is confirmed.
    """
    rows = con.execute(
        """select batch_number, operation, count(*) from ledger.sync_plan_items
           where plan_id = ? and batch_number is not null group by batch_number, operation order by batch_number""",
        [plan_id],
    ).fetchall()
    result: list[tuple[Operation, list[int]]] = []
    inside = 0
    for number, operation, n in rows:
        so_far = len(result[-1][1]) if result else 0
        is_full = so_far >= batches and (inside + n > records or so_far == most)
        if operation == "event":
            is_full = so_far == EVENT_BATCHES_PER_WAVE
        if not result or operation != result[-1][0] or is_full:
            result.append((operation, []))
            inside = 0
        result[-1][1].append(number)
        inside += n
    return result


def _wave_sql(scope: Scope, operation: str) -> str:
    """Records of batches of one operation: where their address and their content come from, and what still holds."""
    common = "i.batch_number, i.operation, i.record_key, i.subscriber_hash, i.desired_hash"
    items = """from (
            select * from ledger.sync_plan_items where plan_id = $plan_id and batch_number between $first and $last
        ) as i"""
    if operation == "event":
        return outbox.wave_sql(scope, items)
    remote = "(select * from ledger.remote_members where destination = $destination)"
    same_member = "r.subscriber_hash = i.subscriber_hash"
    if operation in {"create", "update"}:
        # found by their keys first, so that the content of nobody else is hashed
        found = f"""
            with found as materialized (
                select {common}, d.email, d.consent_verdict as verdict_now, null as segment_id,
                    r.fields as remote_fields, r.remote_id, r.status as remote_status,
                    {payload_struct(scope.declaration, "d")} as payload
                {items} inner join {scope.relation} as d on d.subscriber_hash = i.subscriber_hash
                left join (
                    select * from {remote} as m
                    where m.subscriber_hash in (select i.subscriber_hash {items})
                ) as r on {same_member}
            )
            select * from found as d
            where {payload_hash(scope.declaration, "d.payload")} = d.desired_hash
                and md5(lower(d.email)) = d.subscriber_hash"""
        if operation == "create":
            return f"""{found}
                and coalesce(d.remote_status, '{NEVER_SUBSCRIBED}') = '{NEVER_SUBSCRIBED}'
                and d.verdict_now = 'subscribe'
                and d.subscriber_hash in ({subscribable_sql(scope)})
            order by d.batch_number, d.record_key"""
        return f"""{found}
                and d.remote_status in ({listed(UPDATABLE)})
                and d.verdict_now in ('subscribe', 'update_only')
            order by d.batch_number, d.record_key"""
    if operation in {"lower", "clear"}:
        # who agreed again, or came back, since the plan was made is left to the next one
        still = (
            "m.consent_verdict = 'unsubscribe' or f.subscriber_hash is not null"
            if operation == "lower"
            else "m.subscriber_hash is null"
        )
        return f"""
            with {refused_ctes(scope)}
            select {common}, r.email, r.fields as remote_fields, null as segment_id, r.remote_id
            {items} inner join {remote} as r on {same_member}
            left join {scope.relation} as m on m.subscriber_hash = i.subscriber_hash
            left join refused as f on f.subscriber_hash = i.subscriber_hash
            where {still}
            order by i.batch_number, i.record_key"""
    segment = """inner join ledger.remote_segments as g
            on g.segment_name = i.segment_name and g.destination = $destination"""
    if operation == "remove":
        return f"""
            select {common}, r.email, null as remote_fields, g.remote_id as segment_id, r.remote_id
            {items} inner join {remote} as r on {same_member}
            {segment}
            order by i.batch_number, i.record_key"""
    # an entry may start an automation: who withdrew, or is no longer meant to be in it, does not enter
    return f"""
        with {refused_ctes(scope)}
        select {common}, r.email, null as remote_fields, g.remote_id as segment_id, r.remote_id
        {items} inner join {remote} as r on {same_member}
        {segment}
        inner join ({wanted_memberships_sql(scope)}) as w on w.record_key = i.record_key
        left join {scope.relation} as m on m.subscriber_hash = i.subscriber_hash
        left join refused as f on f.subscriber_hash = i.subscriber_hash
        where r.status in ({listed(MAILABLE)}) and f.subscriber_hash is null
            and coalesce(m.consent_verdict, '') <> 'unsubscribe'
        order by i.batch_number, i.record_key"""


@contextmanager
def _reading_the_model(scope: Scope, todo: str) -> Iterator[None]:
    """A model that is not what it was when the run began ends it in words."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException) as error:
        raise DataError(
            "The model was rebuilt while the plan was being applied: a column or a table of it is gone, or another.",
            where=f"sync '{scope.sync_name}', schema {scope.schema}",
            todo=todo,
        ) from error


def _wave_rows(con: duckdb.DuckDBPyConnection, scope: Scope, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The records of some batches of one operation, as they may still be sent.

    Rows are read from the model at this moment, and left out if they are not what was planned and checked: another
    content, or a verdict that no longer allows the operation. The next plan sees them.
    """
    operation = con.execute(
        "select operation from ledger.sync_plan_items where plan_id = ? and batch_number = ? limit 1",
        [scope.plan_id, numbers[0]],
    ).fetchall()[0][0]
    values = {"plan_id": scope.plan_id, "first": numbers[0], "last": numbers[-1], "destination": scope.destination}
    with _reading_the_model(
        scope, "look at a new plan with `mailwright plan`; what was sent until then is written down"
    ):
        cursor = con.execute(
            _wave_sql(scope, operation), values | ({"sync_name": scope.sync_name} if operation == "event" else {})
        )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _remote_fields(text: str | None) -> dict[str, Any] | None:
    return json.loads(text) if text else None


def take_wave(
    con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str, numbers: Sequence[int], destination: Destination
) -> tuple[list[Batch], list[tuple[Batch, BatchOutcome]]]:
    """Batches `numbers` with their records, marked as sent: from here on they count as possibly done.

    A batch that is too large for the destination becomes several. A record that is too large by itself is marked too,
    and comes back as a batch with its outcome: rejected.
    """
    rows = _wave_rows(con, scope, numbers)
    batches: list[Batch] = []
    too_large: list[tuple[Batch, BatchOutcome]] = []
    formats = formats_of(scope.declaration)
    con.execute("create temp table sending (batch_number integer, batch_id text, record_key text)")
    for number, group in groupby(rows, key=lambda row: row["batch_number"]):
        for batch in _packed(scope, formats, list(group), destination):
            if isinstance(batch, tuple):
                too_large.append(batch)
            else:
                batches.append(batch)
            sent = batch[0] if isinstance(batch, tuple) else batch
            con.execute(
                "insert into sending select ?, ?, unnest(cast(? as text[]))",
                [number, sent.batch_id, [record.key for record in sent.records]],
            )
    now = utcnow()
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), $run, i.sync_name, i.destination, i.object, i.record_key,
                i.subscriber_hash, i.segment_name, s.batch_id, i.operation, i.desired_hash, '{HASH_VERSION}', 'sent',
                null, null, $now, null
            from ledger.sync_plan_items as i
            inner join sending as s on i.batch_number = s.batch_number and i.record_key = s.record_key
            where i.plan_id = $plan_id""",
        {"run": sync_run_id, "now": now, "plan_id": scope.plan_id},
    )
    _fold_sent(con, [batch.batch_id for batch in (*batches, *(batch for batch, _ in too_large))])
    con.execute("drop table sending")
    return batches, too_large


def _packed(
    scope: Scope, formats: Formats, rows: Sequence[dict[str, Any]], destination: Destination
) -> Iterator[Batch | tuple[Batch, BatchOutcome]]:
    """The records of one batch, in as many batches as their bytes ask for."""
    operation, segment_id = rows[0]["operation"], rows[0]["segment_id"]
    most, most_of_one = destination.most_bytes(operation)
    records: list[Record] = []
    weight = 0
    for row in rows:
        record = _record(scope, formats, operation, row)
        size = 0 if most is None and most_of_one is None else destination.bytes_of(operation, record)
        limit = min(n for n in (most, most_of_one, size) if n is not None)
        if size > limit:
            message = f"The record has {size} bytes; the destination takes {limit}."
            outcome = BatchOutcome(Outcome("rejected", RejectedClass.DATA, message))
            yield Batch(new_id("batch"), operation, (record,), segment_id), outcome
            continue
        if most is not None and weight + size > most:
            yield Batch(new_id("batch"), operation, tuple(records), segment_id)
            records, weight = [], 0
        records.append(record)
        weight += size
    if records:
        yield Batch(new_id("batch"), operation, tuple(records), segment_id)


def _record(scope: Scope, formats: Formats, operation: Operation, row: dict[str, Any]) -> Record:
    if operation == "event" and scope.declaration.events is not None:
        return outbox.event_of(scope.declaration.events, row)
    fields = {}
    if operation in {"create", "update", "clear"}:
        is_there = row.get("remote_status") is not None
        there = _remote_fields(row["remote_fields"])
        fields = fields_of(formats, row.get("payload") or {}, operation, there, is_there=is_there)
    return Record(row["record_key"], row["email"], fields, row["remote_id"], row["subscriber_hash"])


def _whose(con: duckdb.DuckDBPyConnection, attempts: str) -> dict[str, str]:
    """The one sync and destination of all `attempts`: as constants they spare a join over two texts more."""
    rows = con.execute(f"select distinct sync_name, destination from {attempts}").fetchall()
    assert len(rows) < 2
    return dict(zip(("sync_name", "destination"), rows[0] if rows else ("", ""), strict=True))


def _fold_sent(con: duckdb.DuckDBPyConnection, batch_ids: list[str]) -> None:
    """Take up that records were sent. Their rows move to the end of `sync_state`: there they are changed again when
    they end, and a column store writes whole blocks anew for a change anywhere in them, but a deletion in a few bytes.
    """
    con.execute(
        """create temp table sent_now as
           select * from ledger.sync_attempts
           where outcome = 'sent' and batch_id in (select unnest(cast(? as text[])))""",
        [batch_ids],
    )
    whose = _whose(con, "sent_now")
    same_record = """s.sync_name = $sync_name and s.destination = $destination and s.object = a.object
        and s.record_key = a.record_key"""
    con.execute(
        f"""create temp table before_it as
            select s.* from ledger.sync_state as s inner join sent_now as a on {same_record}""",
        whose,
    )
    # no key of the table says so: each record is sent once at a time, and has one row
    for table, what in (("sent_now", "to be sent"), ("before_it", "in the ledger")):
        n_twice = con.execute(f"select count(*) - count(distinct (object, record_key)) from {table}").fetchall()[0][0]
        if n_twice:
            raise DataError(
                f"{n_twice} records are {what} more than once: nothing of them was sent.",
                where=f"sync '{whose['sync_name']}', {whose['destination']}",
                todo="see that the model has each person once, and compare `ledger.sync_state` with "
                "`ledger.sync_state_from_attempts`, which has each record once",
            )
    con.execute(f"delete from ledger.sync_state as s using sent_now as a where {same_record}", whose)
    con.execute(
        """insert into ledger.sync_state (
               sync_name, destination, object, record_key, subscriber_hash, segment_name, state, confirmed_hash,
               confirmed_at, confirmed_version, confirmed_number, create_number, sent_hash, sent_version, is_doubtful,
               was_doubtful, updated_at, quick_hash
           )
           select a.sync_name, a.destination, a.object, a.record_key, a.subscriber_hash, a.segment_name, 'sent',
               s.confirmed_hash, s.confirmed_at, s.confirmed_version, s.confirmed_number,
               case when a.operation = 'create' then a.attempt_number else s.create_number end, a.sent_hash,
               a.hash_version, true, coalesce(s.is_doubtful, false), a.outcome_at, s.quick_hash
           from sent_now as a
           left join before_it as s on a.object = s.object and a.record_key = s.record_key"""
    )
    con.execute("drop table before_it; drop table sent_now")


def _without_address(outcome: Outcome, email: str) -> Outcome:
    """A vendor quotes the address that it refuses, and one that is malformed does not look like an address."""
    if len(email) < 4 or email.lower() not in outcome.message.lower():
        return outcome
    return replace(outcome, message=re.sub(re.escape(email), "<address>", outcome.message, flags=re.IGNORECASE))


def record_outcomes(
    con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str, outcomes: Sequence[tuple[Batch, BatchOutcome]]
) -> None:
    """How batches ended, of this run or (jobs) of an older one; what was confirmed also changes what we know of the
    destination's members."""
    con.execute(
        """create temp table ends
           (batch_id text, record_key text, outcome text, rejected_class text, message text, remote_job text)"""
    )
    for batch, result in outcomes:
        groups: dict[Outcome, list[str]] = {}
        for record in batch.records:
            groups.setdefault(_without_address(result.of(record.key), record.email), []).append(record.key)
        for outcome, keys in groups.items():
            con.execute(
                "insert into ends select ?, unnest(cast(? as text[])), ?, ?, ?, ?",
                [
                    batch.batch_id,
                    keys,
                    outcome.kind,
                    outcome.rejected_class,
                    outcome.message or None,
                    result.job if outcome.kind == "accepted" else None,
                ],
            )
    before = con.execute("select coalesce(max(attempt_number), 0) from ledger.sync_attempts").fetchall()[0][0]
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), $run, a.sync_name, a.destination, a.object, a.record_key,
                a.subscriber_hash, a.segment_name, a.batch_id, a.operation, a.sent_hash, a.hash_version,
                e.outcome, e.rejected_class, e.message, $now, e.remote_job
            from ledger.sync_attempts as a
            inner join ends as e on a.batch_id = e.batch_id and a.record_key = e.record_key
            where a.outcome = 'sent'""",
        {"run": sync_run_id, "now": utcnow()},
    )
    con.execute("drop table ends")
    # others of a batch may have ended, and moved on, before
    _fold_ended(con, [batch.batch_id for batch, _ in outcomes], before)
    for batch, result in outcomes:
        # without an address, who was created by an older run is known by the next pull
        done = [r for r in batch.records if r.email and result.of(r.key).kind == "confirmed"]
        if batch.operation in {"create", "lower"} and done:
            created = "pending" if result.awaits_confirmation else "subscribed"
            status = created if batch.operation == "create" else "unsubscribed"
            _remember_members(con, scope, status, batch.batch_id, done)


def _fold_ended(con: duckdb.DuckDBPyConnection, batch_ids: list[str], after: int = 0) -> None:
    """Take up how records of these batches ended, by the attempts that are newer than number `after`."""
    con.execute(
        """create temp table ended_now as
           select *, row_number() over (partition by object, record_key order by attempt_number desc) as position
           from ledger.sync_attempts
           where outcome <> 'sent' and attempt_number > ? and batch_id in (select unnest(cast(? as text[])))""",
        [after, batch_ids],
    )
    # what a job refused may have taken effect in part, as far as anybody says: the same is not sent again, but what was
    # confirmed before it is no longer known to be there
    rejected = "s.was_doubtful or s.state = 'accepted'"
    doubt = f"case a.outcome when 'confirmed' then false when 'rejected' then {rejected} else true end"
    was = f"case when a.outcome = 'accepted' then s.was_doubtful else {doubt} end"
    con.execute(
        f"""update ledger.sync_state as s set
               state = a.outcome,
               confirmed_hash = case when a.outcome = 'confirmed' then a.sent_hash else s.confirmed_hash end,
               confirmed_version
                   = case when a.outcome = 'confirmed' then a.hash_version else s.confirmed_version end,
               confirmed_at = case when a.outcome = 'confirmed' then a.outcome_at else s.confirmed_at end,
               confirmed_number
                   = case when a.outcome = 'confirmed' then a.attempt_number else s.confirmed_number end,
               is_doubtful = {doubt}, was_doubtful = {was},
               rejected_class = a.rejected_class, message = a.message, updated_at = a.outcome_at
           from (select * from ended_now where position = 1) as a
           where s.sync_name = $sync_name and s.destination = $destination and s.object = a.object
               and s.record_key = a.record_key""",
        _whose(con, "ended_now"),
    )
    con.execute("drop table ended_now")


def _remember_members(
    con: duckdb.DuckDBPyConnection, scope: Scope, status: str, batch_id: str, records: Sequence[Record]
) -> None:
    """How these people stand after a batch, unless a pull has seen them since it was sent: it knows better."""
    sent_at = con.execute(
        "select max(outcome_at) from ledger.sync_attempts where batch_id = ? and outcome = 'sent'", [batch_id]
    ).fetchall()[0][0]
    con.execute(
        """insert into ledger.remote_members
               (destination, subscriber_hash, email, status, pulled_at)
           select $destination, unnest(cast($hash as text[])), unnest(cast($email as text[])), $status, $now
           on conflict (destination, subscriber_hash) do update set status = excluded.status
               where remote_members.pulled_at <= $sent_at""",
        {"destination": scope.destination, "hash": [r.key for r in records], "email": [r.email for r in records],
         "status": status, "now": utcnow(), "sent_at": sent_at},
    )  # fmt: skip


def open_batches(con: duckdb.DuckDBPyConnection, sync_name: str, destination: str) -> list[Batch]:
    """What the destination accepted and has not decided yet, by job, whichever run sent it.

    Who was in the newest pull has an address; who was being created has none.
    """
    rows = con.execute(
        """with latest as (
               select a.*, row_number() over (
                       partition by a.object, a.record_key order by a.attempt_number desc
                   ) as position
               from ledger.sync_attempts as a
               inner join ledger.sync_state as s
                   on a.sync_name = s.sync_name and a.destination = s.destination and a.object = s.object
                   and a.record_key = s.record_key
               where s.state = 'accepted' and a.sync_name = ? and a.destination = ?
           )
           select l.batch_id, l.operation, l.remote_job, list(l.record_key order by l.record_key),
               list(l.subscriber_hash order by l.record_key), list(coalesce(r.email, '') order by l.record_key),
               list(r.remote_id order by l.record_key)
           from latest as l
           left join ledger.remote_members as r
               on l.destination = r.destination and l.subscriber_hash = r.subscriber_hash
           where l.position = 1 and l.outcome = 'accepted'
           group by l.batch_id, l.operation, l.remote_job order by min(l.attempt_number)""",
        [sync_name, destination],
    ).fetchall()
    return [
        Batch(
            batch_id,
            operation,
            tuple(
                Record(key, email, remote_id=remote_id, subscriber_hash=one)
                for key, one, email, remote_id in zip(keys, hashes, emails, remote_ids, strict=True)
            ),
            job=job,
        )
        for batch_id, operation, job, keys, hashes, emails, remote_ids in rows
    ]


def without_withdrawn(
    con: duckdb.DuckDBPyConnection, scope: Scope, batches: Sequence[Batch]
) -> tuple[list[Batch], list[tuple[Batch, BatchOutcome]]]:
    """(batches as they may go on, people who withdrew since they were sent).

    A creation may take several steps, and hours between them: consent is asked for again before each look at it. Who
    is there half-way counts as doubtful, and the next plan sees how she stands.
    """
    keys = [record.key for batch in batches if batch.operation == "create" for record in batch.records]
    if not keys:
        return list(batches), []
    with _reading_the_model(
        scope, "run the sync again once the model is built; the destination's jobs are gone on with"
    ):
        rows = con.execute(
            f"""select k.record_key from (select unnest(cast(? as text[])) as record_key) as k
                left join ({subscribable_sql(scope)}) as s on k.record_key = s.subscriber_hash
                where s.subscriber_hash is null""",
            [keys],
        ).fetchall()
    gone = {row[0] for row in rows}
    outcome = BatchOutcome(Outcome("in_doubt", None, "Consent was withdrawn while the destination's job ran."))
    kept: list[Batch] = []
    withdrawn: list[tuple[Batch, BatchOutcome]] = []
    for batch in batches:
        out = tuple(r for r in batch.records if batch.operation == "create" and r.key in gone)
        if out:
            withdrawn.append((replace(batch, records=out), outcome))
        if len(out) < len(batch.records):
            kept.append(replace(batch, records=tuple(r for r in batch.records if r.key not in gone)) if out else batch)
    return kept, withdrawn


def retire(con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str) -> int:
    """Close records that are neither wanted here nor there any more: there is nothing to send."""
    batch_id = new_id("batch")
    for outcome in ("sent", "confirmed"):
        con.execute(
            f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
                select nextval('ledger.attempt_numbers'), $run, sync_name, destination, object, record_key,
                    subscriber_hash, segment_name, $batch, operation, '{GONE}', '{HASH_VERSION}', '{outcome}', null,
                    'Not in the destination: nothing was sent.', $now, null
                from ledger.sync_plan_items where plan_id = $plan_id and operation = 'retire'""",
            {"run": sync_run_id, "batch": batch_id, "now": utcnow(), "plan_id": scope.plan_id},
        )
    _fold_sent(con, [batch_id])
    _fold_ended(con, [batch_id])
    return con.execute(
        "select count(*) from ledger.sync_attempts where batch_id = ? and outcome = 'confirmed'", [batch_id]
    ).fetchall()[0][0]


def leave_in_doubt(con: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    """Events that a run before this one sent, and of whose end it wrote nothing down: it was killed."""
    before = con.execute("select coalesce(max(attempt_number), 0) from ledger.sync_attempts").fetchall()[0][0]
    batches = con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), a.sync_run_id, a.sync_name, a.destination, a.object, a.record_key,
                a.subscriber_hash, a.segment_name, a.batch_id, a.operation, a.sent_hash, a.hash_version, 'in_doubt',
                null, 'The run that sent it ended before the answer was written down.', $now, null
            from ledger.sync_attempts as a
            inner join (
                select a.record_key, max(a.attempt_number) as attempt_number
                from ledger.sync_attempts as a
                inner join ledger.sync_state as s
                    on a.sync_name = s.sync_name and a.destination = s.destination and a.object = s.object
                    and a.record_key = s.record_key
                where s.state = 'sent' and s.object = 'event' and s.sync_name = $sync_name
                    and s.destination = $destination
                group by a.record_key
            ) as l on a.attempt_number = l.attempt_number
            returning batch_id""",
        {"now": utcnow(), "sync_name": scope.sync_name, "destination": scope.destination},
    ).fetchall()
    if batches:
        _fold_ended(con, sorted({batch_id for (batch_id,) in batches}), before)


def decide(
    con: duckdb.DuckDBPyConnection,
    sync_name: str,
    destination: str,
    sync_run_id: str,
    outcome: str,
    reason: str,
    state: str,
    classes: Sequence[str],
    people: Sequence[str],
) -> int:
    """Write a person's decision ('retried', 'skipped') on records whose state satisfies the condition `state` (alias
    `s`), of these rejected classes and people where any are named; how many."""
    batch_id = new_id(outcome)
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), $run, s.sync_name, s.destination, s.object, s.record_key,
                s.subscriber_hash, s.segment_name, $batch, $outcome, s.sent_hash, s.sent_version, $outcome, null,
                $reason, $now, null
            from ledger.sync_state as s
            where s.sync_name = $sync_name and s.destination = $destination and ({state})
                and (len($classes) = 0 or s.rejected_class in (select unnest(cast($classes as text[]))))
                and (len($people) = 0 or s.subscriber_hash in (select unnest(cast($people as text[]))))""",
        {"run": sync_run_id, "batch": batch_id, "outcome": outcome, "reason": reason, "now": utcnow(),
         "sync_name": sync_name, "destination": destination, "classes": list(classes), "people": list(people)},
    )  # fmt: skip
    con.execute(
        """update ledger.sync_state as s set
               state = a.outcome, rejected_class = null, message = a.message, updated_at = a.outcome_at
           from (select * from ledger.sync_attempts where batch_id = ?) as a
           where s.sync_name = a.sync_name and s.destination = a.destination and s.object = a.object
               and s.record_key = a.record_key""",
        [batch_id],
    )
    return con.execute("select count(*) from ledger.sync_attempts where batch_id = ?", [batch_id]).fetchall()[0][0]


def mark_drifted(
    con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str, drifted: Sequence[tuple[str, str]]
) -> int:
    """These (object, record key) were found to be other than confirmed: the next plan sends them; how many."""
    batch_id = new_id("drift")
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), $run, s.sync_name, s.destination, s.object, s.record_key,
                s.subscriber_hash, s.segment_name, $batch, 'drifted', s.sent_hash, s.sent_version, 'drifted', null,
                'An audit found something else there.', $now, null
            from ledger.sync_state as s
            inner join (
                select unnest(cast($objects as text[])) as object, unnest(cast($keys as text[])) as record_key
            ) as d on s.object = d.object and s.record_key = d.record_key
            where s.sync_name = $sync_name and s.destination = $destination and s.state = 'confirmed'""",
        {"run": sync_run_id, "batch": batch_id, "now": utcnow(), "objects": [one for one, _ in drifted],
         "keys": [key for _, key in drifted], "sync_name": scope.sync_name, "destination": scope.destination},
    )  # fmt: skip
    con.execute(
        """update ledger.sync_state as s set
               state = a.outcome, message = a.message, is_doubtful = true, was_doubtful = true,
               updated_at = a.outcome_at
           from (select * from ledger.sync_attempts where batch_id = ?) as a
           where s.sync_name = a.sync_name and s.destination = a.destination and s.object = a.object
               and s.record_key = a.record_key""",
        [batch_id],
    )
    return con.execute("select count(*) from ledger.sync_attempts where batch_id = ?", [batch_id]).fetchall()[0][0]


def take_as_given(con: duckdb.DuckDBPyConnection, plan_id: str, sync_run_id: str, objects: Sequence[str]) -> int:
    """Close what a plan would update or add as if it had been sent and confirmed; how many records.

    Nobody is in a segment that is not there: its members stay a difference, and so it is made.
    """
    batch_id = new_id("given")
    for outcome in ("sent", "confirmed"):
        con.execute(
            f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
                select nextval('ledger.attempt_numbers'), $run, sync_name, destination, object, record_key,
                    subscriber_hash, segment_name, $batch, operation, desired_hash, '{HASH_VERSION}', '{outcome}', null,
                    'Taken as given: nothing was sent.', $now, null
                from ledger.sync_plan_items as i
                where plan_id = $plan_id and object in (select unnest(cast($objects as text[])))
                    and (operation = 'update' or (operation = 'add' and exists (
                        select 1 from ledger.remote_segments as g
                        where g.destination = i.destination and g.segment_name = i.segment_name
                    )))""",
            {"run": sync_run_id, "batch": batch_id, "now": utcnow(), "plan_id": plan_id, "objects": list(objects)},
        )
    _fold_sent(con, [batch_id])
    _fold_ended(con, [batch_id])
    return con.execute(
        "select count(*) from ledger.sync_attempts where batch_id = ? and outcome = 'confirmed'", [batch_id]
    ).fetchall()[0][0]


def results_of_run(con: duckdb.DuckDBPyConnection, sync_run_id: str) -> list[tuple[str, str, str | None, int]]:
    """(operation, how its last attempt in this run ended, rejected class, records)."""
    return con.execute(
        """with ended as (
               select operation, outcome, rejected_class,
                   row_number() over (partition by object, record_key order by attempt_number desc) as position
               from ledger.sync_attempts where sync_run_id = ?
           )
           select operation, outcome, rejected_class, count(*) from ended where position = 1
           group by operation, outcome, rejected_class order by operation, outcome, rejected_class""",
        [sync_run_id],
    ).fetchall()


def events_in_doubt(con: duckdb.DuckDBPyConnection, sync_name: str, destination: str) -> int:
    """Events that were sent, by whichever run, and may or may not have arrived."""
    return con.execute(
        """select count(*) from ledger.sync_state
           where sync_name = ? and destination = ? and object = 'event' and is_doubtful and state <> 'skipped'""",
        [sync_name, destination],
    ).fetchall()[0][0]


def open_records(con: duckdb.DuckDBPyConnection, sync_run_id: str, *, are_events_repeated: bool = False) -> int:
    """Records of this run that another pass may get through: in doubt, or rejected for now."""
    rows = results_of_run(con, sync_run_id)
    return sum(
        n
        for operation, outcome, why, n in rows
        if why == "retryable" or (outcome in {"in_doubt", "sent"} and (are_events_repeated or operation != "event"))
    )
