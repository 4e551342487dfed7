"""Does the destination still have what it confirmed? Reads people back, a sample or all, and compares.

Drift is what somebody, or the vendor, changed there since: a field typed over, a person taken out of a segment, a
person deleted. It is reported by what differs, never by value; with `repair` those records count as doubtful, and the
next sync sends them again, under the same consent and guards as ever. Nothing is written to the destination here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from math import floor
from typing import Any

import duckdb

from reverse_etl import lease as leases
from reverse_etl import ledger
from reverse_etl.connect import open_destination
from reverse_etl.declaration import FieldMapping, SyncDeclaration, read_sync
from reverse_etl.destination import Destination, Record, RemoteMember
from reverse_etl.diff import GONE, MAILABLE, Scope, check_model, payload_hash, payload_struct
from reverse_etl.payload import fields_of, formats_of
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

AT_ONCE = 100
"""People who are read back in one call; the destination makes as many requests of it as it needs."""


@dataclass(frozen=True)
class AuditReport:
    """What an audit found."""

    audit_id: str
    sync_name: str
    destination: str
    n_confirmed: int
    """People of whom the model still says what was confirmed."""
    n_checked: int
    n_drifted: int
    """People with at least one difference."""
    n_repaired: int
    """Records that the next sync sends again."""
    drifts: Mapping[str, int]
    """What differs (`missing`, `status`, `field NAME`, `segment NAME`): for how many people."""
    has_segments: bool
    """Whether segments were compared: not every destination shows those of a person."""

    @property
    def share(self) -> float:
        return self.n_drifted / self.n_checked if self.n_checked else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "drifts": dict(self.drifts), "share": self.share}


@dataclass(frozen=True)
class _Person:
    key: str
    email: str
    remote_id: str | None
    row: Mapping[str, Any]
    segments: Mapping[str, str]
    """Confirmed: segment's id there → its name."""


def audit(
    settings: Settings,
    sync_name: str,
    *,
    sample: int | None = 500,
    repair: bool = False,
    destination: Destination | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> AuditReport:
    """Read back `sample` confirmed people (None: all) and compare; which ones changes with every audit.

    Raises:
        ConfigError: unknown sync or destination, wrong key.
        DataError: the model is not there or is wrong.
        RefusedError: a run of this sync is under way.
        RetriableError: the destination is down; nothing was noted.
    """
    declaration = read_sync(settings, sync_name)
    target = destination or open_destination(declaration)
    audit_id = new_id("audit")
    scope = Scope(audit_id, settings.schema, declaration, target.key)
    with connect(settings, purpose=f"audit {sync_name}") as con:
        ensure_state(con, settings)
        lease = leases.acquire(con, sync_name, target.key, audit_id)
    try:
        with connect(settings, purpose=f"audit {sync_name}") as con:
            check_model(con, scope)
            n_confirmed, people = _people(con, scope, sample)
        target.check()
        fields = [mapping.field for mapping in declaration.fields]
        has_segments = True
        found: list[tuple[_Person, list[tuple[str, str, str]]]] = []
        for start in range(0, len(people), AT_ONCE):
            if on_progress is not None:
                on_progress("read back", start, len(people))
            part = people[start : start + AT_ONCE]
            records = [Record(p.key, p.email, remote_id=p.remote_id, subscriber_hash=p.key) for p in part]
            there = {member.subscriber_hash: member for member in target.read_back(records, fields)}
            has_segments = has_segments and all(one.segment_ids is not None for one in there.values())
            found += [(p, list(_differences(declaration, p, there.get(p.key)))) for p in part]
            with connect(settings, purpose=f"audit {sync_name}") as con:
                leases.renew(con, lease)
        drifted = [(person, differences) for person, differences in found if differences]
        records_to_send = sorted({(one, key) for _, differences in drifted for one, key, _ in differences})
        with connect(settings, purpose=f"audit {sync_name}") as con:
            con.execute("begin")
            leases.renew(con, lease)
            n_repaired = ledger.mark_drifted(con, scope, audit_id, records_to_send) if repair and drifted else 0
            drifts = Counter(what for _, differences in drifted for what in {w for _, _, w in differences})
            report = AuditReport(
                audit_id, sync_name, target.key, n_confirmed, len(people), len(drifted), n_repaired,
                dict(sorted(drifts.items())), has_segments,
            )  # fmt: skip
            con.execute(
                "insert into ledger.sync_audits values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [audit_id, sync_name, target.key, utcnow(), n_confirmed, len(people), len(drifted), n_repaired,
                 json.dumps(report.drifts)],
            )  # fmt: skip
            con.execute("commit")
        return report
    finally:
        with connect(settings, purpose=f"audit {sync_name}") as con:
            leases.release(con, lease)
        if destination is None:
            target.close()


def _people(con: duckdb.DuckDBPyConnection, scope: Scope, sample: int | None) -> tuple[int, list[_Person]]:
    """(how many are in sync by the ledger, those to look at with their rows and confirmed segments)"""
    values: dict[str, object] = {"sync_name": scope.sync_name, "destination": scope.destination}
    in_sync = f"""
        from {scope.relation} as d
        inner join ledger.sync_state as s
            on s.record_key = d.subscriber_hash and s.object = 'member'
            and s.sync_name = $sync_name and s.destination = $destination
        where s.state = 'confirmed' and not s.is_doubtful and s.confirmed_hash = {payload_hash(scope.declaration, "d")}
            and d.consent_verdict in ('subscribe', 'update_only')"""
    total = con.execute(f"select count(*) {in_sync}", values).fetchall()[0][0]
    limit = "" if sample is None else "limit $sample"
    con.execute(
        f"""create temp table looked_at as
            select d.subscriber_hash, d.email, {payload_struct(scope.declaration, "d")} as payload {in_sync}
            order by md5($seed || d.subscriber_hash) {limit}""",
        {**values, "seed": scope.plan_id, **({} if sample is None else {"sample": sample})},
    )
    cursor = con.execute(
        """select l.*, r.remote_id from looked_at as l
           left join ledger.remote_members as r
               on r.subscriber_hash = l.subscriber_hash and r.destination = ?
           order by l.subscriber_hash""",
        [scope.destination],
    )
    names = [column[0] for column in cursor.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    segments: dict[str, dict[str, str]] = {}
    for key, name, remote_id in con.execute(
        f"""select s.subscriber_hash, s.segment_name, g.remote_id
            from ledger.sync_state as s
            inner join looked_at as l on s.subscriber_hash = l.subscriber_hash
            inner join ledger.remote_segments as g
                on g.segment_name = s.segment_name and g.destination = s.destination
            where s.object = 'membership' and s.sync_name = $sync_name and s.destination = $destination
                and s.state = 'confirmed' and not s.is_doubtful and s.confirmed_hash <> '{GONE}'""",
        values,
    ).fetchall():
        segments.setdefault(key, {})[remote_id] = name
    con.execute("drop table looked_at")
    return total, [
        _Person(
            row["subscriber_hash"],
            row["email"],
            row["remote_id"],
            row["payload"],
            segments.get(row["subscriber_hash"], {}),
        )
        for row in rows
    ]


def _differences(
    declaration: SyncDeclaration, person: _Person, there: RemoteMember | None
) -> Iterator[tuple[str, str, str]]:
    """(object, record key, what differs)"""
    if there is None:
        yield "member", person.key, "missing"
        return
    if there.status not in MAILABLE:
        # her own word, or a bounce: the next pull takes it up, and nothing is sent against it
        yield "member", person.key, "status"
        return
    wanted = fields_of(formats_of(declaration), person.row, "update", there.fields)
    mappings = {mapping.field: mapping for mapping in declaration.fields}
    for field, value in wanted.items():
        if not _is_same(mappings[field], value, (there.fields or {}).get(field)):
            yield "member", person.key, f"field {field}"
    if there.segment_ids is None:
        return
    for remote_id, name in person.segments.items():
        if remote_id not in there.segment_ids:
            yield "membership", f"{name}/{person.key}", f"segment {name}"


def _is_same(mapping: FieldMapping, wanted: Any, found: Any) -> bool:
    """Whether a value is there as it was sent: vendors give numbers as text, and nothing as an empty text."""
    nothing = (None, "")
    if wanted in nothing or found in nothing:
        return wanted in nothing and found in nothing
    if mapping.type == "number":
        try:
            sent, has = Decimal(str(wanted)), Decimal(str(found))
        except InvalidOperation:
            return False
        worth = mapping.significance
        return sent == has if worth is None else floor(sent / worth) == floor(has / worth)
    if mapping.type == "date":
        return _multiple(str(found)[:10], mapping.significance) == _multiple(str(wanted)[:10], mapping.significance)
    return str(found).strip() == str(wanted).strip()


def _multiple(day: str, worth: Decimal | None) -> str | int:
    """Of so many days a day is in; a day that is none is itself."""
    try:
        return day if worth is None else (date.fromisoformat(day) - date(1970, 1, 1)).days // int(worth)
    except ValueError:
        return day
