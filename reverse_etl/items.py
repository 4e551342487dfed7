"""A plan's items: who is sent what in which batch, who is held or blocked. Counted for everybody, stored for those."""

from __future__ import annotations

import duckdb

from reverse_etl.destination import Destination
from reverse_etl.diff import PHASES, Scope, members_sql, memberships_sql
from reverse_etl.narrowing import WORTH_REMEMBERING, look_at, remember


def _insert_items(
    con: duckdb.DuckDBPyConnection,
    scope: Scope,
    select_sql: str,
    destination: Destination,
    *,
    first_batch: int = 0,
    n_of_model: int | None = None,
) -> dict[tuple[str, str], int]:
    """Store what is to be sent, held or blocked, with batch numbers; counts by (operation, reason).

    `n_of_model`: so many rows has the model, and those that the query leaves out are unchanged.

    Batches are of one operation and segment, in the order of `PHASES`. Blocked memberships are counted, not stored:
    the reason is the person's.
    """
    values: dict[str, object] = {"sync_name": scope.sync_name, "destination": scope.destination}
    if "$plan_id" in select_sql:
        values["plan_id"] = scope.plan_id
    con.execute(f"create temp table judged_items as {select_sql}", values)
    emptying, size_of_emptying = _emptying_sql(scope, destination)
    counted = con.execute(
        "select operation, coalesce(reason, ''), count(*) from judged_items group by operation, coalesce(reason, '')"
    ).fetchall()
    if n_of_model is not None:
        n_judged = con.execute("select count(*) from judged_items where is_of_model").fetchall()[0][0]
        counted.append(("unchanged", "", n_of_model - n_judged))
    sizes = " ".join(f"when '{name}' then {destination.batch_size(name)}" for name in PHASES)  # pyright: ignore[reportArgumentType]
    order = " ".join(f"when '{name}' then {number}" for name, number in PHASES.items())
    con.execute(
        f"""
        insert into ledger.sync_plan_items
        with
        numbered as (
            select
                *,
                case operation {order} end as phase,
                case when is_emptying then {size_of_emptying} else case operation {sizes} end end as size,
                row_number() over (
                    partition by operation, segment_name, is_emptying order by record_key
                ) as position
            from (select *, {emptying} as is_emptying from judged_items)
            where operation <> 'unchanged' and not (operation = 'blocked' and object = 'membership')
        ),
        chunked as (
            select *, cast(floor((position - 1) / cast(size as double precision)) as integer) as chunk from numbered
        )
        select
            $plan_id, $sync_name, $destination, object, record_key, subscriber_hash, segment_name, operation, reason,
            desired_hash,
            case
                when phase is not null
                    then $first_batch + dense_rank() over (
                        order by phase nulls last, operation, coalesce(segment_name, ''), is_emptying, chunk
                    )
            end
        from chunked
        """,
        {
            "plan_id": scope.plan_id,
            "sync_name": scope.sync_name,
            "destination": scope.destination,
            "first_batch": first_batch,
        },
    )
    con.execute("drop table judged_items")
    return {(operation, reason): n for operation, reason, n in counted}


def _emptying_sql(scope: Scope, destination: Destination) -> tuple[str, str]:
    """(which items are updates that empty a field, size of their batches), where those go apart from the others.

    By the columns that have no value: what becomes none on its way (a link that is too long) goes with the others,
    alone all the same.
    """
    columns = [m.column for m in scope.declaration.fields if m.is_emptied_by_null]
    if destination.emptying_size is None or not columns:
        return "false", "null"
    without = " or ".join(f"coalesce(cast({column} as text), '') = ''" for column in columns)
    people = f"select subscriber_hash from {scope.relation} where {without}"
    return f"operation = 'update' and record_key in ({people})", str(destination.emptying_size)


def write_items(
    con: duckdb.DuckDBPyConnection, scope: Scope, destination: Destination, n_source: int
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Replace the sync's plan items; counts by (operation, reason) for members and for memberships.

    `n_source`: rows of the model.

    Raises:
        DataError: a person is in the model twice.
    """
    con.execute(
        "delete from ledger.sync_plan_items where sync_name = ? and destination = ?",
        [scope.sync_name, scope.destination],
    )
    n_looked_at = look_at(con, scope, n_source)
    members = _insert_items(con, scope, members_sql(scope), destination, n_of_model=n_source)
    if n_looked_at - (n_source - members["unchanged", ""]) > WORTH_REMEMBERING * n_source:
        remember(con, scope)
    con.execute("drop table looked_at")
    if scope.declaration.segments is None:
        return members, {}
    last = con.execute(
        "select coalesce(max(batch_number), 0) from ledger.sync_plan_items where plan_id = ?", [scope.plan_id]
    ).fetchall()[0][0]
    return members, _insert_items(con, scope, memberships_sql(scope), destination, first_batch=int(last))
