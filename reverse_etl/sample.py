"""Some people of a plan, before and after: what the destination has now, and what would be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from reverse_etl.connect import open_destination
from reverse_etl.declaration import SyncDeclaration, read_sync
from reverse_etl.destination import Destination, Record, RemoteMember
from reverse_etl.diff import Scope, payload_struct
from reverse_etl.payload import fields_of, formats_of
from reverse_etl.plan import Plan
from warehouse.connection import connect
from warehouse.settings import Settings

CHANGES = ("create", "update", "lower", "clear")


@dataclass(frozen=True)
class SampledPerson:
    """One person of a plan."""

    subscriber_hash: str
    operation: str
    reason: str | None
    """Why she is blocked or held."""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Field → (value there now, value that is sent), as far as they differ; None: nothing."""
    enters: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "changes": {name: list(pair) for name, pair in self.changes.items()}}


def sample(settings: Settings, made: Plan, n: int, *, destination: Destination | None = None) -> list[SampledPerson]:
    """At most `n` people of the plan that was just made, the same ones for the same plan.

    Those who change come first, and of each kind of change, with and without a segment, as many as of any other, as
    far as there are: the few who are new or leave would not be seen among all who are updated.

    Reads the destination; values are personal data: for a screen, not for a log.
    """
    declaration = read_sync(settings, made.sync_name)
    target = destination or open_destination(declaration)
    try:
        with connect(settings, purpose=f"sample of a plan: {made.sync_name}") as con:
            rows = _rows(con, Scope(made.plan_id, made.schema, declaration, made.destination), n)
        asked = [row for row in rows if row["operation"] in CHANGES or row["is_member_alone"]]
        records = [
            Record(
                row["record_key"], row["remote_email"], remote_id=row["remote_id"],
                subscriber_hash=row["subscriber_hash"],
            )
            for row in asked
            if row["remote_email"]
        ]  # fmt: skip
        fields = [mapping.field for mapping in declaration.fields]
        there = {member.subscriber_hash: member for member in target.read_back(records, fields)}
        return [_shown(declaration, row, there.get(row["subscriber_hash"])) for row in rows]
    finally:
        if destination is None:
            target.close()


def _rows(con: duckdb.DuckDBPyConnection, scope: Scope, n: int) -> list[dict[str, Any]]:
    order = " ".join(f"when '{name}' then {number}" for number, name in enumerate(CHANGES))
    cursor = con.execute(
        f"""with items as (
                select * from ledger.sync_plan_items where plan_id = $plan_id and operation <> 'retire'
            ),
            moves as (
                select
                    subscriber_hash,
                    list(segment_name order by segment_name) filter (where operation = 'add') as enters,
                    list(segment_name order by segment_name) filter (where operation = 'remove') as leaves
                from items where object = 'membership' group by subscriber_hash
            ),
            people as (
                select
                    coalesce(i.subscriber_hash, m.subscriber_hash) as subscriber_hash,
                    coalesce(i.operation, 'update') as operation,
                    i.reason,
                    i.subscriber_hash is null as is_member_alone,
                    m.subscriber_hash is not null as is_moved,
                    m.enters,
                    m.leaves
                from (select * from items where object = 'member') as i
                full outer join moves as m on i.subscriber_hash = m.subscriber_hash
            ),
            numbered as (
                select
                    *,
                    case operation {order} end as kind,
                    row_number() over (
                        partition by operation, is_moved order by md5($plan_id || subscriber_hash)
                    ) as number_of_kind
                from people
                qualify number_of_kind <= $n
            ),
            picked as (
                from numbered
                order by kind is null, number_of_kind, kind, not is_moved, subscriber_hash
                limit $n
            )
            select
                p.*, p.subscriber_hash as record_key, r.email as remote_email, r.remote_id,
                d.subscriber_hash is not null as has_row,
                {payload_struct(scope.declaration, "d")} as payload
            from picked as p
            left join {scope.relation} as d on p.subscriber_hash = d.subscriber_hash
            left join ledger.remote_members as r
                on p.subscriber_hash = r.subscriber_hash and r.destination = $destination
            order by p.kind, p.operation, p.number_of_kind, p.subscriber_hash""",
        {"plan_id": scope.plan_id, "destination": scope.destination, "n": n},
    )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _shown(declaration: SyncDeclaration, row: Mapping[str, Any], there: RemoteMember | None) -> SampledPerson:
    operation = row["operation"]
    before = dict(there.fields or {}) if there else {}
    sent: dict[str, Any] = {}
    if operation in {"create", "update"} and row["has_row"] and not row["is_member_alone"]:
        is_there = row["remote_email"] is not None
        sent = fields_of(formats_of(declaration), row["payload"], operation, before, is_there=is_there)
    elif operation == "clear":
        sent = fields_of(formats_of(declaration), {}, "clear", before)
    changes = {
        name: (before.get(name) or None, value if value != "" else None)
        for name, value in sent.items()
        if str(before.get(name) or "") != str(value)
    }
    return SampledPerson(
        row["subscriber_hash"],
        operation,
        row["reason"],
        changes,
        tuple(row["enters"] or ()),
        tuple(row["leaves"] or ()),
    )
