"""The ledger: what was sent and what became of it. SQL alone; every function is a part of the caller's transaction.

Attempts are append-only ('sent', then 'confirmed', 'rejected' or 'in_doubt'); `sync_state` is their fold, kept in the
same transaction. The confirmed hash is the hash that was *sent* in the confirmed attempt, whatever is desired by then.
`is_doubtful` means: something was sent that may have taken effect, so what is confirmed may not be what is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from reverse_etl.destination import BatchOutcome, Operation, Outcome, Record
from reverse_etl.diff import GONE, HASH_VERSION, MAILABLE, Scope, listed, payload_hash
from reverse_etl.payload import fields_of
from warehouse.clock import utcnow
from warehouse.ids import new_id

_ATTEMPT_COLUMNS = """attempt_number, sync_run_id, sync_name, destination, object, record_key, subscriber_hash,
    segment_name, batch_id, operation, sent_hash, hash_version, outcome, rejected_class, message, outcome_at"""


@dataclass(frozen=True)
class Batch:
    """Records of one operation (and segment) that go out in one call."""

    batch_id: str
    operation: Operation
    records: tuple[Record, ...]
    segment_id: str | None = None


@dataclass
class _Gathered:
    batch_id: str
    operation: Operation
    segment_id: str | None
    rows: list[tuple[str, str]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


def waves(con: duckdb.DuckDBPyConnection, plan_id: str, most: int) -> list[list[int]]:
    """Numbers of a plan's batches in the order of sending, in waves of at most `most` batches of one operation.

    Operations are not mixed: a membership can be sent only when the creation of its member is confirmed.
    """
    rows = con.execute(
        """select distinct batch_number, operation from ledger.sync_plan_items
           where plan_id = ? and batch_number is not null order by batch_number""",
        [plan_id],
    ).fetchall()
    result: list[list[int]] = []
    current = None
    for number, operation in rows:
        if operation != current or len(result[-1]) == most:
            result.append([])
            current = operation
        result[-1].append(number)
    return result


def _wave_sql(scope: Scope, operation: str) -> str:
    """Records of batches of one operation: where their address and their content come from, and what still holds."""
    common = "i.batch_number, i.operation, i.record_key, i.subscriber_hash, i.desired_hash"
    items = """from (
            select * from ledger.sync_plan_items where plan_id = $plan_id and batch_number between $first and $last
        ) as i"""
    remote = "(select * from ledger.remote_members where destination = $destination)"
    same_member = "r.subscriber_hash = i.subscriber_hash"
    if operation in {"create", "update"}:
        columns = "".join(f", d.{column}" for column in scope.declaration.columns)
        unchanged = f"{payload_hash(scope.declaration, 'd')} = i.desired_hash"
        model = f"{items} inner join {scope.relation} as d on d.subscriber_hash = i.subscriber_hash"
        if operation == "create":
            return f"""
                select {common}, d.email, null as remote_fields, null as segment_id{columns}
                {model} left join {remote} as r on {same_member}
                where r.subscriber_hash is null and d.consent_verdict = 'subscribe' and {unchanged}
                order by i.batch_number, i.record_key"""
        return f"""
            select {common}, d.email, r.fields as remote_fields, null as segment_id{columns}
            {model} inner join {remote} as r on {same_member}
            where
                r.status in ({listed(MAILABLE)}) and d.consent_verdict in ('subscribe', 'update_only')
                and {unchanged}
            order by i.batch_number, i.record_key"""
    if operation in {"lower", "clear"}:
        return f"""
            select {common}, r.email, r.fields as remote_fields, null as segment_id
            {items} inner join {remote} as r on {same_member}
            order by i.batch_number, i.record_key"""
    mailable = f"where r.status in ({listed(MAILABLE)})" if operation == "add" else ""
    return f"""
        select {common}, r.email, null as remote_fields, g.remote_id as segment_id
        {items} inner join {remote} as r on {same_member}
        inner join ledger.remote_segments as g
            on g.segment_name = i.segment_name and g.destination = $destination
        {mailable}
        order by i.batch_number, i.record_key"""


def _wave_rows(con: duckdb.DuckDBPyConnection, scope: Scope, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The records of some batches of one operation, as they may still be sent.

    Rows are read from the model at this moment, and left out if they are not what was planned and checked: another
    content, or a verdict that no longer allows the operation. The next plan sees them.
    """
    operation = con.execute(
        "select operation from ledger.sync_plan_items where plan_id = ? and batch_number = ? limit 1",
        [scope.plan_id, numbers[0]],
    ).fetchall()[0][0]
    cursor = con.execute(
        _wave_sql(scope, operation),
        {"plan_id": scope.plan_id, "first": numbers[0], "last": numbers[-1], "destination": scope.destination},
    )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _remote_fields(text: str | None) -> dict[str, Any] | None:
    return json.loads(text) if text else None


def take_wave(con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str, numbers: Sequence[int]) -> list[Batch]:
    """Batches `numbers` with their records, marked as sent: from here on they count as possibly done."""
    gathered: dict[int, _Gathered] = {}
    for row in _wave_rows(con, scope, numbers):
        number = row["batch_number"]
        if number not in gathered:
            gathered[number] = _Gathered(new_id("batch"), row["operation"], row["segment_id"])
        one = gathered[number]
        fields = {}
        if row["operation"] in {"create", "update", "clear"}:
            fields = fields_of(scope.declaration, row, row["operation"], _remote_fields(row["remote_fields"]))
        one.records.append(Record(row["record_key"], row["email"], fields))
        one.rows.append((row["record_key"], row["desired_hash"]))
    if not gathered:
        return []
    con.execute("create temp table sending (batch_number integer, batch_id text, record_key text)")
    for number, one in gathered.items():
        con.execute(
            "insert into sending select ?, ?, unnest(cast(? as text[]))",
            [number, one.batch_id, [key for key, _ in one.rows]],
        )
    now = utcnow()
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), $run, i.sync_name, i.destination, i.object, i.record_key,
                i.subscriber_hash, i.segment_name, s.batch_id, i.operation, i.desired_hash, '{HASH_VERSION}', 'sent',
                null, null, $now
            from ledger.sync_plan_items as i
            inner join sending as s on i.batch_number = s.batch_number and i.record_key = s.record_key
            where i.plan_id = $plan_id""",
        {"run": sync_run_id, "now": now, "plan_id": scope.plan_id},
    )
    _fold_sent(con, scope, [one.batch_id for one in gathered.values()])
    con.execute("drop table sending")
    return [
        Batch(one.batch_id, one.operation, tuple(one.records), one.segment_id) for _, one in sorted(gathered.items())
    ]


def _fold_sent(con: duckdb.DuckDBPyConnection, scope: Scope, batch_ids: list[str]) -> None:
    con.execute(
        """create temp table sent_now as
           select * from ledger.sync_attempts
           where outcome = 'sent' and batch_id in (select unnest(cast(? as text[])))""",
        [batch_ids],
    )
    con.execute(
        """update ledger.sync_state as s set
               state = 'sent', sent_hash = a.sent_hash, sent_version = a.hash_version, rejected_class = null,
               message = null, was_doubtful = s.is_doubtful, is_doubtful = true, updated_at = a.outcome_at,
               create_number = case when a.operation = 'create' then a.attempt_number else s.create_number end
           from sent_now as a
           where s.sync_name = a.sync_name and s.destination = a.destination and s.object = a.object
               and s.record_key = a.record_key"""
    )
    con.execute(
        """insert into ledger.sync_state
           select a.sync_name, a.destination, a.object, a.record_key, a.subscriber_hash, a.segment_name, 'sent', null,
               null, null, null, case when a.operation = 'create' then a.attempt_number end, a.sent_hash,
               a.hash_version, null, null, true, false, a.outcome_at
           from sent_now as a
           left join ledger.sync_state as s
               on s.sync_name = a.sync_name and s.destination = a.destination and s.object = a.object
               and s.record_key = a.record_key
           where s.record_key is null"""
    )
    con.execute("drop table sent_now")


def record_outcomes(
    con: duckdb.DuckDBPyConnection, scope: Scope, outcomes: Sequence[tuple[Batch, BatchOutcome]]
) -> None:
    """How the batches of a wave ended; what was confirmed also changes what we know of the destination's members."""
    con.execute(
        """create temp table ends
           (batch_id text, record_key text, outcome text, rejected_class text, message text)"""
    )
    for batch, result in outcomes:
        groups: dict[Outcome, list[str]] = {}
        for record in batch.records:
            groups.setdefault(result.of(record.key), []).append(record.key)
        for outcome, keys in groups.items():
            con.execute(
                "insert into ends select ?, unnest(cast(? as text[])), ?, ?, ?",
                [batch.batch_id, keys, outcome.kind, outcome.rejected_class, outcome.message or None],
            )
    con.execute(
        f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
            select nextval('ledger.attempt_numbers'), a.sync_run_id, a.sync_name, a.destination, a.object,
                a.record_key, a.subscriber_hash, a.segment_name, a.batch_id, a.operation, a.sent_hash, a.hash_version,
                e.outcome, e.rejected_class, e.message, $now
            from ledger.sync_attempts as a
            inner join ends as e on a.batch_id = e.batch_id and a.record_key = e.record_key
            where a.outcome = 'sent'""",
        {"now": utcnow()},
    )
    con.execute("drop table ends")
    _fold_ended(con, [batch.batch_id for batch, _ in outcomes])
    for batch, result in outcomes:
        done = [r for r in batch.records if result.of(r.key).kind == "confirmed"]
        if batch.operation in {"create", "lower"} and done:
            _remember_members(con, scope, batch.operation, done)


def _fold_ended(con: duckdb.DuckDBPyConnection, batch_ids: list[str]) -> None:
    con.execute(
        """create temp table ended_now as
           select * from ledger.sync_attempts
           where outcome <> 'sent' and batch_id in (select unnest(cast(? as text[])))""",
        [batch_ids],
    )
    doubt = "case a.outcome when 'confirmed' then false when 'rejected' then s.was_doubtful else true end"
    con.execute(
        f"""update ledger.sync_state as s set
               state = a.outcome,
               confirmed_hash = case when a.outcome = 'confirmed' then a.sent_hash else s.confirmed_hash end,
               confirmed_version
                   = case when a.outcome = 'confirmed' then a.hash_version else s.confirmed_version end,
               confirmed_at = case when a.outcome = 'confirmed' then a.outcome_at else s.confirmed_at end,
               confirmed_number
                   = case when a.outcome = 'confirmed' then a.attempt_number else s.confirmed_number end,
               is_doubtful = {doubt}, was_doubtful = {doubt},
               rejected_class = a.rejected_class, message = a.message, updated_at = a.outcome_at
           from ended_now as a
           where s.sync_name = a.sync_name and s.destination = a.destination and s.object = a.object
               and s.record_key = a.record_key"""
    )
    con.execute("drop table ended_now")


def _remember_members(
    con: duckdb.DuckDBPyConnection, scope: Scope, operation: Operation, records: Sequence[Record]
) -> None:
    status = "subscribed" if operation == "create" else "unsubscribed"
    con.execute(
        """insert into ledger.remote_members
           select ?, unnest(cast(? as text[])), unnest(cast(? as text[])), ?, null, null, ?
           on conflict (destination, subscriber_hash) do update set status = excluded.status""",
        [scope.destination, [r.key for r in records], [r.email for r in records], status, utcnow()],
    )


def retire(con: duckdb.DuckDBPyConnection, scope: Scope, sync_run_id: str) -> int:
    """Close records that are neither wanted here nor there any more: there is nothing to send."""
    batch_id = new_id("batch")
    for outcome in ("sent", "confirmed"):
        con.execute(
            f"""insert into ledger.sync_attempts ({_ATTEMPT_COLUMNS})
                select nextval('ledger.attempt_numbers'), $run, sync_name, destination, object, record_key,
                    subscriber_hash, segment_name, $batch, operation, '{GONE}', '{HASH_VERSION}', '{outcome}', null,
                    'Not in the destination: nothing was sent.', $now
                from ledger.sync_plan_items where plan_id = $plan_id and operation = 'retire'""",
            {"run": sync_run_id, "batch": batch_id, "now": utcnow(), "plan_id": scope.plan_id},
        )
    _fold_sent(con, scope, [batch_id])
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


def open_records(con: duckdb.DuckDBPyConnection, sync_run_id: str) -> int:
    """Records of this run that another pass may get through: in doubt, or rejected for now."""
    rows = results_of_run(con, sync_run_id)
    return sum(n for _, outcome, why, n in rows if outcome in {"in_doubt", "sent"} or why == "retryable")
