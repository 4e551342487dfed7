"""What a person is shown before a sync, `Plan`; and the guards that stand between it and the sync."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import TypeAdapter

from reverse_etl.destination import Destination
from reverse_etl.diff import GONE, LOWERABLE, Scope, listed
from reverse_etl.limits import limit, limits_of
from warehouse.clock import utcnow
from warehouse.errors import ConfigError

_FILE_VERSION = 1
Counts = Mapping[tuple[str, str], int]


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Guard:
    """A guard that was tripped; `name` is what one overrides."""

    name: str
    message: str


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: how many enter, leave, and are in it already."""

    entering: int = 0
    leaving: int = 0


@dataclass(frozen=True)
class Plan:
    """What a sync would do, counted; nothing of it was written to the destination."""

    plan_id: str
    sync_name: str
    destination: str
    schema: str
    as_of: datetime | None
    n_source: int
    n_remote: int
    created: int
    updated: int
    lowered: int
    """People whose subscription ends because they withdrew their consent."""
    cleared: int
    """People whose row is gone: our fields are emptied, they stay where they are."""
    entering: int
    leaving: int
    unchanged: int
    memberships_unchanged: int
    held: Mapping[str, int]
    """Not sent again: rejected before and unchanged since, by class; or `waiting` for a job of the destination."""
    blocked: Mapping[str, int]
    """People who are not synced, by reason."""
    memberships_blocked: int
    """Memberships of people who are not members there."""
    segments: Mapping[str, SegmentPlan]
    fields_to_create: tuple[str, ...]
    segments_to_create: tuple[str, ...]
    requests: int
    """Writing requests."""
    estimated_minutes: float
    """At the vendor's limits, with `seconds_per_write` of limits.yml."""
    is_first_run: bool
    items_fingerprint: str = ""
    """Of who is in it, what happens to each, and with which content: two plans of the same counts may differ in it."""
    events: int = 0
    """Events that would be sent, of people who are to be created too."""
    events_blocked: Mapping[str, int] = field(default_factory=dict)
    """Events that are not sent, by reason."""
    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing would be written."""
        return self.requests == 0

    def counts(self) -> dict[str, Any]:
        """What must be equal for a plan to be the same plan."""
        shown = self.to_dict()
        for name in ("plan_id", "guards", "notes", "n_remote", "is_first_run"):
            shown.pop(name)
        return shown

    def moves(self) -> tuple[object, ...]:
        """What must be equal once fields and segments were created: whom it would send what, and how many."""
        counts = (self.created, self.updated, self.lowered, self.cleared, self.entering, self.leaving, self.events)
        return (*counts, self.items_fingerprint)

    def to_dict(self) -> dict[str, Any]:
        return plain(asdict(self))

    def save(self, path: Path) -> None:
        """As a file that `load` reads; no row of a person is in it."""
        text = json.dumps({"mailwright_plan": _FILE_VERSION, **self.to_dict()}, indent=2)
        unfinished = path.with_name(path.name + ".part")
        try:
            unfinished.write_text(text + "\n", encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise ConfigError(f"The plan cannot be written there ({error.strerror}).", where=str(path)) from None

    @classmethod
    def load(cls, path: Path) -> Plan:
        """
        Raises:
            ConfigError: it is no plan of this version.
        """
        todo = "make one with `mailwright plan --out FILE`"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or found.pop("mailwright_plan", None) != _FILE_VERSION:
                raise ConfigError("This file is no plan, or one of another version.", where=str(path), todo=todo)
            return TypeAdapter(cls).validate_python(found)
        except OSError as error:
            raise ConfigError(f"The plan cannot be read ({error.strerror}).", where=str(path), todo=todo) from None
        except RecursionError:
            raise ConfigError("This file is no plan: it is nested too deeply.", where=str(path), todo=todo) from None
        except ValueError as error:
            what = str(error).splitlines()[0]
            raise ConfigError(f"This file is no plan: {what}.", where=str(path), todo=todo) from None


def by_reason(counts: Counts, operation: str) -> dict[str, int]:
    return {reason: n for (name, reason), n in sorted(counts.items()) if name == operation}


def total(counts: Counts, operation: str) -> int:
    return sum(by_reason(counts, operation).values())


def items_fingerprint(con: duckdb.DuckDBPyConnection, plan_id: str) -> str:
    """Of the stored items of a plan, whatever their order. The content of a membership is left out: it is the segment's
    id, which a segment that the plan creates does not have yet."""
    return con.execute(
        """select cast(count(*) as text) || '-' || coalesce(cast(sum(hash(
                object, record_key, operation, coalesce(reason, ''),
                case when object = 'membership' then '' else coalesce(desired_hash, '') end
            )) as text), '0')
           from ledger.sync_plan_items where plan_id = ?""",
        [plan_id],
    ).fetchall()[0][0]


def segment_plans(con: duckdb.DuckDBPyConnection, plan_id: str) -> dict[str, SegmentPlan]:
    rows = con.execute(
        """select segment_name, count(*) filter (where operation = 'add'),
               count(*) filter (where operation in ('remove', 'retire'))
           from ledger.sync_plan_items where plan_id = ? and object = 'membership'
           group by segment_name order by segment_name""",
        [plan_id],
    ).fetchall()
    return {name: SegmentPlan(entering, leaving) for name, entering, leaving in rows}


def estimate(con: duckdb.DuckDBPyConnection, plan_id: str, destination: Destination, extra: int) -> tuple[int, float]:
    """(writing requests, minutes): one request per batch, and one per field or segment that must be created."""
    batches = con.execute(
        """select count(distinct batch_number) from ledger.sync_plan_items
           where plan_id = ? and batch_number is not null""",
        [plan_id],
    ).fetchall()[0][0]
    requests = int(batches) + extra
    seconds = limits_of(destination.kind)["seconds_per_write"].value
    rounds = math.ceil(requests / limit(destination.kind, "connections_used"))
    return requests, round(rounds * seconds / 60, 2)


_FROM_ESPS = ("email_events", "consent_events")
"""Raw tables that an ESP fills by itself (`mailwright pull`, webhooks): they say nothing of the shop's data."""


def newest_load(con: duckdb.DuckDBPyConnection, schema: str, *, but_for: Sequence[str] = ()) -> datetime | None:
    """When the newest load was made that the schema's last good build could read; `but_for` these tables."""
    return con.execute(
        """select max(l.loaded_at) from ops.loads as l
           inner join ops.build_loads as b on l.load_id = b.load_id
           where l.table_name not in (select unnest(cast(? as text[]))) and b.build_id = (
               select max(build_id) from ops.builds where schema_name = ? and status = 'succeeded'
           )""",
        [list(but_for), schema],
    ).fetchall()[0][0]


def _stale(con: duckdb.DuckDBPyConnection, scope: Scope) -> list[Guard]:
    """Windows move on while nothing comes in: "we miss you" would go to yesterday's buyer."""
    most = scope.declaration.guards.max_hours_without_load
    newest, what = newest_load(con, scope.schema, but_for=_FROM_ESPS), "load that the models know"
    if newest is None:  # another loader fills the warehouse
        newest, what = con.execute(
            """select max(finished_at), 'build of the models' from ops.builds
               where schema_name = ? and status = 'succeeded'""",
            [scope.schema],
        ).fetchall()[0]
    if most is None or newest is None:
        return []
    hours = (utcnow() - newest).total_seconds() / 3600
    return (
        []
        if hours <= most
        else [Guard("stale_source", f"The newest {what} is {hours:.0f} hours old; {most:g} may be.")]
    )


def tripped_guards(con: duckdb.DuckDBPyConnection, scope: Scope, n_source: int, members: Counts) -> list[Guard]:
    """Guards that this plan trips; the plan's items are stored already."""
    guards = scope.declaration.guards
    where = "sync_name = $sync_name and destination = $destination"
    values = {"sync_name": scope.sync_name, "destination": scope.destination}
    found: list[Guard] = []

    def count(sql: str, **more: object) -> int:
        return con.execute(sql, {**values, **more}).fetchall()[0][0]

    def confirmed() -> int:
        return count(
            f"""select count(*) from ledger.sync_state
                where object = 'member' and {where} and coalesce(confirmed_hash, '{GONE}') <> '{GONE}'"""
        )

    def share(name: str, part: int, whole: Callable[[], int], most: float, what: str) -> None:
        """The whole is counted, over everybody, only where the part could be too large."""
        if part > guards.min_records and part > most * (n := whole()):
            found.append(Guard(name, f"{part} of {n} {what}; at most {most:.0%} may."))

    if n_source == 0 and guards.refuse_empty_source:
        found.append(Guard("empty_source", "The model has no rows: everybody would be taken for gone."))
    retired = con.execute(
        """select count(*) from ledger.sync_plan_items
           where plan_id = ? and object = 'member' and operation = 'retire'""",
        [scope.plan_id],
    ).fetchall()[0][0]
    removed = total(members, "clear") + retired
    share("share_removed", removed, confirmed, guards.max_share_removed, "confirmed people are gone from the model")
    # a list that others filled is updated, and nobody of it was confirmed
    if guards.max_share_changed < 1 and confirmed() > 0:
        changed = total(members, "update")
        share("share_changed", changed, confirmed, guards.max_share_changed, "confirmed people would be updated")
    found += _stale(con, scope)
    # nobody who is missing there is unchanged, updated, lowered or cleared
    may_have_vanished = sum(total(members, name) for name in ("create", "retire", "held", "blocked"))
    if "vanished" not in scope.overrides and may_have_vanished > guards.min_records:
        vanished = count(
            f"""with items as (
                    select record_key from ledger.sync_plan_items where plan_id = $plan_id and object = 'member'
                )
                select count(*) from ledger.sync_state
                where object = 'member' and {where} and coalesce(confirmed_hash, '{GONE}') <> '{GONE}'
                    and record_key in (
                        select record_key from items
                        except
                        select subscriber_hash from ledger.remote_members
                        where destination = $destination and subscriber_hash in (select record_key from items)
                    )""",
            plan_id=scope.plan_id,
        )
        share(
            "vanished", vanished, confirmed, guards.max_share_vanished,
            "confirmed people are missing at the destination (was the audience reset or changed?)",
        )  # fmt: skip

    def mailable() -> int:
        return con.execute(
            f"""select count(*) from ledger.remote_members
                where destination = ? and status in ({listed(LOWERABLE)})""",
            [scope.destination],
        ).fetchall()[0][0]

    lowered = total(members, "lower")
    share("share_lowered", lowered, mailable, guards.max_share_lowered, "people would be unsubscribed")
    per_segment = con.execute(
        f"""select i.segment_name, i.leaving, s.confirmed
            from (
                select segment_name, count(*) as leaving from ledger.sync_plan_items
                where plan_id = $plan_id and object = 'membership' and operation in ('remove', 'retire')
                group by segment_name
            ) as i
            inner join (
                select segment_name, count(*) as confirmed from ledger.sync_state
                where object = 'membership' and {where} and coalesce(confirmed_hash, '{GONE}') <> '{GONE}'
                group by segment_name
            ) as s on i.segment_name = s.segment_name
            order by i.segment_name""",
        {**values, "plan_id": scope.plan_id},
    ).fetchall()
    for name, leaving, inside in per_segment:
        share("share_leaving", leaving, lambda n=inside: n, guards.max_share_leaving, f"members would leave '{name}'")
    most = guards.max_first_run_creates
    if most is not None and total(members, "create") > most:
        is_first = count(f"select count(*) from ledger.sync_state where object = 'member' and {where}") == 0
        would = f"The first run would create {total(members, 'create')} people; at most {most} may be."
        found += [Guard("first_run", would)] if is_first else []
    return found
