"""What a destination holds, pulled before each plan into `ledger.remote_members` and `ledger.remote_segments`.

A subscription that ended there is evidence about the person, not only a state of the address: it is kept in
`ledger.remote_suppressions`, where the consent models find it.

HTTP and transactions take turns: pages are gathered without the writer's lock, then written in one short piece.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb

from reverse_etl.destination import Destination, RemoteMember
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.settings import Settings

FULL_PULL_EVERY = timedelta(hours=24)
OVERLAP = timedelta(seconds=90)
"""Changes this much older than the newest one known are asked for again: the vendor's clock has whole seconds."""
SUPPRESSIONS = {"unsubscribed": "unsubscribe", "cleaned": "bounce"}
"""Status there → what it says: an unsubscribe (or complaint) is the person's word, a bounce the address's end."""
MOST_FULL_PULLS = 3
_ROWS_AT_ONCE = 50_000


def _since(con: duckdb.DuckDBPyConnection, destination: str, fields: str) -> datetime | None:
    """From when on changes are needed; None: everything."""
    rows = con.execute(
        """select max(pulled_at) filter (where pull_kind = 'full'), max(newest_change_at)
           from ledger.remote_pulls where destination = ? and fields = ?""",
        [destination, fields],
    ).fetchall()
    full_at, newest = rows[0]
    if full_at is None or newest is None or utcnow() - full_at > FULL_PULL_EVERY:
        return None
    return newest - OVERLAP


def _note_suppressions(
    con: duckdb.DuckDBPyConnection, destination: str, rows: Sequence[RemoteMember], seen_at: datetime
) -> None:
    """Remember who was unsubscribed, or bounced, since the last look. What we ended ourselves since then is no news.

    The vendor's clock may run ahead of ours: nothing was said later than it was seen.
    """
    ended = [m for m in rows if m.status in SUPPRESSIONS]
    if not ended:
        return
    con.execute(
        """insert into ledger.remote_suppressions
            with ours as (
                select a.record_key, a.operation, a.outcome_at as sent_at from ledger.sync_attempts as a
                where a.destination = $destination and a.object = 'member' and a.outcome = 'sent' and not exists (
                    select 1 from ledger.sync_attempts as e where e.batch_id = a.batch_id and e.object = a.object
                        and e.record_key = a.record_key and e.outcome = 'rejected')
            ),
            pulled as (
                select unnest(cast($hash as text[])) as subscriber_hash, unnest(cast($email as text[])) as email,
                    unnest(cast($status as text[])) as status, unnest(cast($kind as text[])) as kind,
                    unnest(cast($changed as timestamp[])) as changed_at
            )
            select md5($destination || '/' || p.subscriber_hash || '/' || cast($now as text)), $destination,
                p.subscriber_hash, p.email, p.kind,
                -- a slow clock there does not date it before the look that still found her subscribed
                least(
                    greatest(coalesce(p.changed_at, $now), case when r.status <> p.status then r.pulled_at end), $now
                ),
                $now
            from pulled as p
            left join ledger.remote_members as r on r.destination = $destination
                and r.subscriber_hash = p.subscriber_hash
            where case
                -- as it was at the last look: news only if somebody but us touched it since, or if nobody noted it yet
                when r.status = p.status then (
                    p.changed_at > r.last_changed_at and not exists (
                        select 1 from ours as o
                        where o.record_key = p.subscriber_hash and o.sent_at >= r.pulled_at
                    )
                ) or (
                    not exists (
                        select 1 from ledger.remote_suppressions as s
                        where s.destination = $destination and s.subscriber_hash = p.subscriber_hash
                            and s.kind = p.kind)
                    and not exists (
                        select 1 from ours as o where o.record_key = p.subscriber_hash and o.operation = 'lower')
                )
                -- ended since we looked last: by us, if we lowered her since
                when p.kind = 'unsubscribe' then not exists (
                    select 1 from ours as o
                    where o.record_key = p.subscriber_hash and o.operation = 'lower'
                        and (r.status is null or r.status = 'archived' or o.sent_at >= r.pulled_at))
                else true
            end""",
        {
            "destination": destination,
            "hash": [m.subscriber_hash for m in ended],
            "email": [m.email for m in ended],
            "status": [m.status for m in ended],
            "kind": [SUPPRESSIONS[m.status] for m in ended],
            "changed": [m.last_changed_at for m in ended],
            "now": seen_at,
        },
    )


def _write(
    con: duckdb.DuckDBPyConnection, destination: str, members: Sequence[RemoteMember], pulled_at: datetime
) -> None:
    unique = {m.subscriber_hash: m for m in members}  # a page may repeat what moved meanwhile
    rows = list(unique.values())
    _note_suppressions(con, destination, rows, utcnow())
    con.execute(
        """insert into ledger.remote_members
               (destination, subscriber_hash, email, status, fields, last_changed_at, remote_id, is_counted, pulled_at)
           select $destination, unnest(cast($hash as text[])), unnest(cast($email as text[])),
               unnest(cast($status as text[])), unnest(cast($fields as text[])),
               unnest(cast($changed as timestamp[])), unnest(cast($remote_id as text[])),
               unnest(cast($counted as boolean[])), $now
           on conflict (destination, subscriber_hash) do update set email = excluded.email, status = excluded.status,
               fields = excluded.fields, last_changed_at = excluded.last_changed_at, remote_id = excluded.remote_id,
               is_counted = excluded.is_counted, pulled_at = excluded.pulled_at""",
        {
            "destination": destination,
            "hash": [m.subscriber_hash for m in rows],
            "email": [m.email for m in rows],
            "status": [m.status for m in rows],
            "fields": [None if m.fields is None else json.dumps(dict(m.fields), sort_keys=True) for m in rows],
            "changed": [m.last_changed_at for m in rows],
            "remote_id": [m.remote_id for m in rows],
            "counted": [m.is_counted for m in rows],
            "now": pulled_at,
        },
    )


def pull_members(settings: Settings, destination: Destination, fields: Sequence[str] = ()) -> tuple[str, int]:
    """Bring `ledger.remote_members` up to date; ('full' or 'incremental', members read).

    An incremental pull cannot see who was deleted: when the number of members does not agree afterwards, a full one
    follows.
    """
    wanted = ",".join(sorted(fields))
    with connect(settings, purpose="sync: remote members") as con:
        since = _since(con, destination.key, wanted)
        if _lacks_suppressions(con, destination.key):
            since = None
    if since is not None:
        n = _pull(settings, destination, fields, wanted, since)
        if _is_complete(settings, destination):
            return "incremental", n
    n = 0
    for _ in range(MOST_FULL_PULLS):
        n = _pull(settings, destination, fields, wanted, None)
        if _is_complete(settings, destination):
            break
    return "full", n


def _lacks_suppressions(con: duckdb.DuckDBPyConnection, destination: str) -> bool:
    """Whether somebody is known as unsubscribed or bounced without evidence: a ledger from before it was kept."""
    rows = con.execute(
        """select 1 from ledger.remote_members as r
           where r.destination = ? and r.status in (select unnest(cast(? as text[])))
               and not exists (
                   select 1 from ledger.remote_suppressions as s
                   where s.destination = r.destination and s.subscriber_hash = r.subscriber_hash
               )
               and not exists (
                   select 1 from ledger.sync_attempts as a
                   where a.destination = r.destination and a.record_key = r.subscriber_hash and a.operation = 'lower'
               )
           limit 1""",
        [destination, list(SUPPRESSIONS)],
    ).fetchall()
    return bool(rows)


def _is_complete(settings: Settings, destination: Destination) -> bool:
    """Whether as many members are known as there are; who changes while pages are read can hide another one.

    A destination that does not count is taken at its word: who was deleted there is seen by the next full pull.
    """
    there = destination.count_members()
    if there is None:
        return True
    with connect(settings, purpose="sync: remote members") as con:
        known = con.execute(
            "select count(*) from ledger.remote_members where destination = ? and status <> 'archived' "
            "and coalesce(is_counted, true)",
            [destination.key],
        ).fetchall()[0][0]
    return known == there


def _pull(
    settings: Settings, destination: Destination, fields: Sequence[str], wanted: str, since: datetime | None
) -> int:
    pulled_at = utcnow()
    newest: datetime | None = since
    waiting: list[RemoteMember] = []
    n = 0

    def flush(*, last: bool) -> None:
        with connect(settings, purpose="sync: remote members") as con:
            con.execute("begin")
            _write(con, destination.key, waiting, pulled_at)
            if last:
                if since is None:
                    con.execute(
                        "delete from ledger.remote_members where destination = ? and pulled_at < ?",
                        [destination.key, pulled_at],
                    )
                con.execute(
                    "insert into ledger.remote_pulls values (?, ?, ?, ?, ?, ?)",
                    [destination.key, "full" if since is None else "incremental", newest, n, wanted, pulled_at],
                )
            con.execute("commit")
        waiting.clear()

    for page in destination.pull_members(since=since, fields=fields):
        waiting += page
        n += len(page)
        for member in page:
            if member.last_changed_at is not None and (newest is None or member.last_changed_at > newest):
                # a clock there that runs ahead must not hide what happens until it is reached
                newest = min(member.last_changed_at, pulled_at)
        if len(waiting) >= _ROWS_AT_ONCE:
            flush(last=False)
    flush(last=True)
    return n


def look_at_segments(settings: Settings, destination: Destination, prefix: str) -> dict[str, str]:
    """Which segments of ours are there: name → id; also written to `ledger.remote_segments`."""
    found = destination.list_segments(prefix)
    now = utcnow()
    with connect(settings, purpose="sync: remote segments") as con:
        con.execute("begin")
        for name, remote_id in found.items():
            remember_segment(con, destination.key, name, remote_id, now)
        con.execute(
            """delete from ledger.remote_segments
               where destination = ? and starts_with(segment_name, ?) and seen_at < ?""",
            [destination.key, prefix, now],
        )
        con.execute("commit")
    return found


def remember_segment(
    con: duckdb.DuckDBPyConnection, destination: str, name: str, remote_id: str, now: datetime
) -> None:
    con.execute(
        """insert into ledger.remote_segments values (?, ?, ?, ?)
           on conflict (destination, segment_name) do update set remote_id = excluded.remote_id,
               seen_at = excluded.seen_at""",
        [destination, name, remote_id, now],
    )
