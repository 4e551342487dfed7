"""What a person decides about records that did not go through: try again, leave alone, or take as given.

Each decision is an attempt of its own in the ledger, with its reason: nothing is deleted or rewritten. Nothing here
speaks to a destination except `rebaseline`, which reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger, runner
from reverse_etl.declaration import read_sync
from reverse_etl.destination import Destination
from reverse_etl.errors import RejectedClass, without_secrets
from reverse_etl.plan import Plan
from warehouse.connection import connect
from warehouse.errors import ConfigError
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state


def retry(
    settings: Settings,
    sync_name: str,
    *,
    classes: Collection[RejectedClass] = (),
    people: Collection[str] = (),
    reason: str = "A person asked for another try.",
) -> int:
    """Let records that were rejected for good, or skipped, be sent by the next run; how many.

    `classes` and `people` (subscriber hashes) narrow it; without either, all of them. Events in doubt, skipped or
    not, are sent again for people who are named, and for nobody else: they may have arrived.
    """
    closed = "s.state = 'skipped' or (s.state = 'rejected' and s.rejected_class <> 'retryable')"
    doubtful = "s.object = 'event' and s.is_doubtful"
    state = (
        f"({closed}) or ({doubtful} and s.state in ('in_doubt', 'sent'))"
        if people
        else f"({closed}) and not ({doubtful})"
    )
    return _decide(settings, sync_name, "retried", reason, state, classes, people)


def skip(
    settings: Settings,
    sync_name: str,
    reason: str,
    *,
    classes: Collection[RejectedClass] = (),
    people: Collection[str] = (),
) -> int:
    """Leave records that were rejected, or are in doubt, as they are until their content changes; how many.

    The end of a subscription, or of a membership, is never skipped: it is tried by every run.
    """
    if not reason.strip():
        raise ConfigError("A reason is needed.", todo='say why: --reason "…"; it stays in the ledger')
    if not classes and not people:
        raise ConfigError("Nothing is named.", todo="name a class of rejections, or a person")
    ends = "s.sent_hash = 'lowered' or (s.object = 'membership' and s.sent_hash = 'gone')"
    state = f"s.state in ('rejected', 'in_doubt', 'sent') and not ({ends})"
    return _decide(settings, sync_name, "skipped", reason, state, classes, people)


def _decide(
    settings: Settings,
    sync_name: str,
    outcome: str,
    reason: str,
    state: str,
    classes: Collection[RejectedClass],
    people: Collection[str],
) -> int:
    read_sync(settings, sync_name)
    run_id = new_id(outcome)
    with connect(settings, purpose=f"{outcome} {sync_name}") as con:
        ensure_state(con, settings)
        con.execute("begin")
        destinations = con.execute(
            "select distinct destination from ledger.sync_state where sync_name = ? order by destination", [sync_name]
        ).fetchall()
        n = 0
        for (destination,) in destinations:
            # a run under way has records in flight whose end nobody knows yet
            lease = leases.acquire(con, sync_name, destination, run_id)
            n += ledger.decide(
                con,
                sync_name,
                destination,
                run_id,
                outcome,
                without_secrets(reason),
                state,
                list(classes),
                list(people),
            )
            leases.release(con, lease)
        con.execute("commit")
    return n


def rebaseline(
    settings: Settings,
    sync_name: str,
    *,
    destination: Destination | None = None,
    allow_schema: str | None = None,
    objects: Collection[str] = ("member", "membership"),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Plan, int]:
    """Take what the model says of people who are at the destination as what it has, without sending anything.

    For a ledger that was lost, or a changed mapping whose values are there already. Whoever would be created or whose
    subscription would be ended stays a difference: only updates of fields and entries into segments are taken as given.

    Returns:
        (the plan that was looked at, records taken as given)
    """
    made = runner.plan(settings, sync_name, destination=destination, allow_schema=allow_schema, on_progress=on_progress)
    run_id = new_id("rebaseline")
    with connect(settings, purpose=f"rebaseline {sync_name}") as con:
        con.execute("begin")
        lease = leases.acquire(con, sync_name, made.destination, run_id)
        n = ledger.take_as_given(con, made.plan_id, run_id, list(objects))
        leases.release(con, lease)
        con.execute("commit")
    return made, n


def rejected(con: duckdb.DuckDBPyConnection, sync_name: str | None = None, most: int = 1000) -> list[dict[str, object]]:
    """Records that did not go through: whose, which class, the vendor's words, since when; the newest first."""
    # a warehouse that no run has written to since events came is read as it is
    has_events = con.execute(
        "select 1 from information_schema.tables where table_schema = 'ledger' and table_name = 'outbox'"
    ).fetchall()
    no_events = "(select '' as sync_name, '' as destination, '' as event_id, '' as event_name where false)"
    cursor = con.execute(
        f"""select s.sync_name, s.destination, s.object, s.subscriber_hash, s.segment_name, o.event_name, s.state,
               s.rejected_class, s.message, s.updated_at
           from ledger.sync_state as s
           left join {"ledger.outbox" if has_events else no_events} as o
               on s.object = 'event' and s.sync_name = o.sync_name and s.destination = o.destination
               and s.record_key = o.event_id
           where (s.state in ('rejected', 'skipped') or s.is_doubtful) and (? is null or s.sync_name = ?)
           order by s.updated_at desc, s.sync_name, s.object, s.record_key limit ?""",
        [sync_name, sync_name, most],
    )
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
