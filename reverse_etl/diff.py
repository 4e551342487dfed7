"""What has to be sent: desired rows against confirmed hashes, in SQL. Nothing here speaks to a destination.

A record is sent when what is confirmed differs from what is desired, or when an answer is outstanding (is_doubtful);
it is held when the very same content was rejected for good; it is blocked when consent, or the destination's own
state, says no. A hash covers the columns that are sent and the fingerprint of the mapping that turns them into fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import duckdb

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destination import Destination
from warehouse.clock import utcnow
from warehouse.errors import ConfigError, DataError

HASH_VERSION = "md5.1"
GONE = "gone"
"""Hash of a record that is to be, or is, no longer there (a tombstone; a membership that ended)."""
LOWERED = "lowered"
"""Hash of a person whose subscription we ended."""

ABSENT = "(r.subscriber_hash is null or not coalesce(r.is_counted, true))"
"""SQL: not there, or known there by a suppression alone, which has no fields and no memberships (alias `r`)."""

MAILABLE = ("subscribed", "transactional")
NEVER_SUBSCRIBED = "never_subscribed"
"""There, and neither subscribed nor unsubscribed: her fields are kept up to date; she is in no segment until evidence
subscribes her."""
UPDATABLE = (*MAILABLE, NEVER_SUBSCRIBED)
LOWERABLE = ("subscribed", "transactional", "pending", NEVER_SUBSCRIBED, "suppressed", "unknown")
"""Whoever withdraws is unsubscribed, unless that is known to be done: a status that is not understood ends as well."""
VERDICTS = ("subscribe", "update_only", "unsubscribe")
FINAL_CLASSES = ("data", "consent", "config")

COMES_WITHIN = timedelta(days=1)
"""For so long a creation of unknown outcome may still take effect, as we take it: no vendor says."""

PHASES = {"lower": 1, "clear": 2, "create": 3, "update": 4, "remove": 5, "add": 6}
"""The order of sending: whoever withdrew comes first, memberships after the people they need."""


@dataclass(frozen=True)
class Scope:
    """What one plan is about; `overrides` may contain `vanished` (create people anew who are missing there)."""

    plan_id: str
    schema: str
    declaration: SyncDeclaration
    destination: str
    overrides: frozenset[str] = frozenset()

    @property
    def sync_name(self) -> str:
        return self.declaration.name

    @property
    def relation(self) -> str:
        return f'"{self.schema}"."{self.declaration.model}"'


def listed(values: tuple[str, ...]) -> str:
    """`'a', 'b'` for an SQL `in`; the values are ours, or doubled quotes make them harmless."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def payload_hash(declaration: SyncDeclaration, alias: str) -> str:
    """SQL (portable) of the hash of what would be sent for a row of the activation model; returns text."""
    values = [
        f"{alias}.{column}" if worth is None else f"floor({alias}.{column} / {worth})"
        for column, worth in declaration.compared
    ]
    parts = " || chr(31) || ".join(f"coalesce(cast({value} as text), chr(30))" for value in values)
    return f"md5('{declaration.fingerprint}' || chr(31) || {parts})"


def check_model(con: duckdb.DuckDBPyConnection, scope: Scope) -> int:
    """Rows of the model, after checking that it can be synced at all.

    Raises:
        DataError: the model is not there, or a person is in it twice.
        ConfigError: it lacks a column that the declaration names.
    """
    declaration = scope.declaration
    needed = {"subscriber_hash", "email", "consent_verdict", *declaration.columns}
    check_columns(con, scope.schema, declaration.model, needed, declaration.name)
    if declaration.addresses:
        needed = {"profile_id", "subscriber_hash", "is_refused", "suppressions_weighed_to"}
        check_columns(con, scope.schema, declaration.addresses, needed, declaration.name)
    if declaration.segments:
        needed = {"subscriber_hash", "segment_name", "consent_verdict"}
        check_columns(con, scope.schema, declaration.segments.model, needed, declaration.name)
    rows, keys, null_keys = con.execute(
        f"""select count(*), count(distinct subscriber_hash), count(*) - count(subscriber_hash)
            from {scope.relation}"""
    ).fetchall()[0]
    if rows != keys + null_keys or null_keys:
        raise DataError(
            f"{rows - keys} rows of the model have no key of their own: one row per person is needed.",
            where=f"{scope.schema}.{declaration.model}.subscriber_hash",
            todo="correct the model; its `unique` and `not_null` tests name the rows",
        )
    return int(rows)


def check_columns(con: duckdb.DuckDBPyConnection, schema: str, model: str, needed: set[str], sync: str) -> None:
    found = {
        row[0]
        for row in con.execute(
            "select column_name from information_schema.columns where table_schema = ? and table_name = ?",
            [schema, model],
        ).fetchall()
    }
    if not found:
        raise DataError(
            f"The model '{model}' is not in schema '{schema}'.", todo="run `mailwright build`, then this again"
        )
    missing = sorted(needed - found)
    if missing:
        raise ConfigError(
            f"The sync '{sync}' needs columns that its model does not have: {', '.join(missing)}.",
            where=f"{schema}.{model}",
            todo="correct `column` in the sync's `fields`, or add the columns to the model",
        )


def _settled(hash_sql: str) -> str:
    """SQL: this very content was rejected for good, or a person said to leave it (alias `s`)."""
    return f"""(
        (s.state = 'skipped' or (s.state = 'rejected' and s.rejected_class in ({listed(FINAL_CLASSES)})))
        and s.sent_hash = {hash_sql} and s.sent_version = '{HASH_VERSION}'
    )"""


WAITING = "coalesce(s.state, '') = 'accepted'"
"""SQL: the destination has a job for what was sent, and its end decides (alias `s`)."""


def _differs(hash_sql: str) -> str:
    """SQL: confirmed is not desired, or is not known (alias `s`, left joined)."""
    return f"""(
        s.record_key is null or s.is_doubtful or s.confirmed_hash is distinct from {hash_sql}
        or s.confirmed_version is distinct from '{HASH_VERSION}'
    )"""


def addresses_sql(scope: Scope) -> str:
    """One row per person and address, as far as the sync declares a model of them."""
    if scope.declaration.addresses is None:
        return """select cast(null as text) as profile_id, cast(null as text) as subscriber_hash,
            false as is_refused, cast(null as timestamp) as suppressions_weighed_to where false"""
    return f"""select profile_id, subscriber_hash, is_refused, suppressions_weighed_to
        from "{scope.schema}"."{scope.declaration.addresses}\""""


def _unsubscribed_ctes(scope: Scope) -> str:
    """`addresses`, and which of them are `unsubscribed`.

    People unsubscribed at a destination since consent was folded: until the next build weighs that, it binds here.
    """
    return f"""
    addresses as ({addresses_sql(scope)}),
    unweighed as (
        select distinct a.profile_id
        from addresses as a
        inner join ledger.remote_suppressions as e on a.subscriber_hash = e.subscriber_hash
        where
            e.kind = 'unsubscribe'
            and (a.suppressions_weighed_to is null or e.seen_at > a.suppressions_weighed_to)
    ),
    unsubscribed as (
        select distinct a.subscriber_hash
        from addresses as a inner join unweighed as u on a.profile_id = u.profile_id
    )"""


def subscribable_sql(scope: Scope) -> str:
    """Whom the model lets be subscribed at this moment."""
    return f"""
    with {_unsubscribed_ctes(scope)}
    select m.subscriber_hash
    from {scope.relation} as m
    left join unsubscribed as u on m.subscriber_hash = u.subscriber_hash
    where m.consent_verdict = 'subscribe' and u.subscriber_hash is null"""


def _members_sql(scope: Scope) -> str:
    """One row per person of the model or of the ledger, with what is to be done about her."""
    recreate = "true" if "vanished" in scope.overrides else "false"
    # a creation that nobody answered, or whose job we stopped following, may still come into being, and is emptied then
    may_come = f"""(
        s.is_doubtful and s.create_number > coalesce(s.confirmed_number, 0)
        and s.updated_at >= timestamp '{utcnow() - COMES_WITHIN}'
    )"""
    return f"""
    with
    remote as (
        select subscriber_hash, status, is_counted from ledger.remote_members where destination = $destination
    ),
    -- whom we have asked a destination to subscribe, and who is not (yet): what became of it is her own business
    asked as (
        select distinct record_key from ledger.sync_attempts
        where
            sync_name = $sync_name and destination = $destination and object = 'member'
            and operation = 'create' and outcome = 'confirmed'
            and record_key in (select subscriber_hash from remote where status = '{NEVER_SUBSCRIBED}')
    ),
    -- who is missing and was there: closing a record of somebody who never came into being says nothing
    once_there as (
        select distinct record_key from ledger.sync_attempts
        where
            sync_name = $sync_name and destination = $destination and object = 'member'
            and operation in ('create', 'update') and outcome = 'confirmed'
            and record_key not in (select subscriber_hash from remote)
    ),
    {_unsubscribed_ctes(scope)},
    model as (
        select
            m.subscriber_hash,
            case
                when u.subscriber_hash is not null and m.consent_verdict in ({listed(VERDICTS)}) then 'unsubscribe'
                else m.consent_verdict
            end as consent_verdict,
            case
                when u.subscriber_hash is not null and m.consent_verdict <> 'unsubscribe'
                    then 'unsubscribed_in_destination'
                when m.consent_verdict = 'unsubscribe' then 'consent_withdrawn'
            end as refusal,
            {payload_hash(scope.declaration, "m")} as desired_hash
        from {scope.relation} as m
        left join unsubscribed as u on m.subscriber_hash = u.subscriber_hash
    ),
    -- further addresses of such people: ended where they are members, never a reason to create anybody
    refused as (
        select subscriber_hash, min(refusal) as refusal
        from (
            select subscriber_hash, 'consent_withdrawn' as refusal from addresses where is_refused
            union all
            select subscriber_hash, 'unsubscribed_in_destination' from unsubscribed
        ) as r
        group by subscriber_hash
    ),
    desired as (
        select subscriber_hash, consent_verdict, refusal, desired_hash from model
        union all
        select f.subscriber_hash, 'unsubscribe', f.refusal, '{LOWERED}'
        from refused as f
        inner join remote as r on f.subscriber_hash = r.subscriber_hash
        where not exists (select 1 from model as m where m.subscriber_hash = f.subscriber_hash)
    ),
    known as (
        select * from ledger.sync_state
        where sync_name = $sync_name and destination = $destination and object = 'member'
    ),
    judged as (
        select
            d.subscriber_hash,
            case
                when d.consent_verdict = 'unsubscribe' and r.status in ({listed(LOWERABLE)}) then 'lower'
                when d.consent_verdict = 'unsubscribe' then 'blocked'
                when d.consent_verdict is null or d.consent_verdict not in ({listed(VERDICTS)}) then 'blocked'
                when r.subscriber_hash is null and d.consent_verdict <> 'subscribe' then 'blocked'
                when r.subscriber_hash is null and o.record_key is not null and not {recreate} then 'blocked'
                when r.subscriber_hash is null then 'create'
                when r.status = '{NEVER_SUBSCRIBED}' and d.consent_verdict = 'subscribe' and a.record_key is null
                    then 'create'
                when r.status in ({listed(UPDATABLE)}) then 'update'
                else 'blocked'
            end as wanted,
            case
                when d.consent_verdict = 'unsubscribe' then d.refusal
                when d.consent_verdict is null or d.consent_verdict not in ({listed(VERDICTS)})
                    then 'no_consent_verdict'
                when r.subscriber_hash is null and d.consent_verdict <> 'subscribe' then 'no_opt_in_evidence'
                when r.subscriber_hash is null then 'deleted_in_destination'
                else r.status || '_in_destination'
            end as block_reason,
            case
                when d.consent_verdict = 'unsubscribe' then '{LOWERED}' else d.desired_hash
            end as desired_hash,
            coalesce(s.rejected_class, s.state) as rejected_class,
            {_settled("d.desired_hash")} as is_settled,
            {WAITING} as is_waiting,
            {_differs("d.desired_hash")} as differs
        from desired as d
        left join remote as r on d.subscriber_hash = r.subscriber_hash
        left join known as s on d.subscriber_hash = s.record_key
        left join asked as a on d.subscriber_hash = a.record_key
        left join once_there as o on d.subscriber_hash = o.record_key
    ),
    present as (
        select
            subscriber_hash,
            case
                when wanted in ('lower', 'blocked') then wanted  -- a lowering that failed is tried in each run
                when is_waiting or is_settled then 'held'
                -- somebody who is missing there, in spite of being confirmed, is created when that is asked for
                when differs or wanted = 'create' then wanted
                else 'unchanged'
            end as operation,
            case
                when wanted = 'blocked' then block_reason
                when is_waiting then 'waiting'
                when is_settled then rejected_class
            end as reason,
            desired_hash
        from judged
    ),
    removed as (
        select
            s.subscriber_hash,
            case
                when {ABSENT} and ({WAITING} or {may_come}) then 'held'
                when {ABSENT} then 'retire'
                when r.status not in ({listed((*LOWERABLE, "unsubscribed"))}) then 'blocked'
                when {WAITING} or {_settled(f"'{GONE}'")} then 'held'
                else 'clear'
            end as operation,
            case
                when {ABSENT} and ({WAITING} or {may_come}) then 'waiting'
                when {ABSENT} then null
                when r.status not in ({listed((*LOWERABLE, "unsubscribed"))}) then r.status || '_in_destination'
                when {WAITING} then 'waiting'
                when {_settled(f"'{GONE}'")} then coalesce(s.rejected_class, s.state)
            end as reason,
            '{GONE}' as desired_hash
        from known as s
        left join desired as d on s.record_key = d.subscriber_hash
        left join remote as r on s.record_key = r.subscriber_hash
        where
            d.subscriber_hash is null
            and (s.is_doubtful or coalesce(s.confirmed_hash, '{GONE}') <> '{GONE}')
    )
    select
        'member' as object, subscriber_hash as record_key, subscriber_hash, cast(null as text) as segment_name,
        operation, reason, desired_hash
    from present
    union all
    select 'member', subscriber_hash, subscriber_hash, null, operation, reason, desired_hash from removed
    """


def _memberships_sql(scope: Scope) -> str:
    """One row per membership of the model or of the ledger; needs the plan's member items to be there already."""
    mirror = scope.declaration.segments
    assert mirror is not None
    prefix = mirror.prefix.replace("'", "''")
    included = "true" if mirror.include == "all" else f"segment_name in ({listed(mirror.include) or 'null'})"
    return f"""
    with
    wanted as (
        select distinct
            subscriber_hash,
            '{prefix}' || segment_name as segment_name,
            '{prefix}' || segment_name || '/' || subscriber_hash as record_key
        from "{scope.schema}"."{mirror.model}"
        where consent_verdict in ('subscribe', 'update_only') and {included}
    ),
    remote as (
        select subscriber_hash, status, is_counted from ledger.remote_members where destination = $destination
    ),
    segments as (select segment_name, remote_id from ledger.remote_segments where destination = $destination),
    items as (
        select subscriber_hash, operation from ledger.sync_plan_items
        where plan_id = $plan_id and object = 'member'
    ),
    -- in a segment is who may be mailed there: members as they are, and people who are being created
    reachable as (
        select r.subscriber_hash from remote as r
        left join items as i on r.subscriber_hash = i.subscriber_hash and i.operation in ('lower', 'clear')
        where r.status in ({listed(MAILABLE)}) and i.subscriber_hash is null
        union
        select subscriber_hash from items where operation = 'create'
    ),
    known as (
        select * from ledger.sync_state
        where sync_name = $sync_name and destination = $destination and object = 'membership'
    ),
    created as (
        select record_key as subscriber_hash, create_number from ledger.sync_state
        where sync_name = $sync_name and destination = $destination and object = 'member'
    ),
    creating as (select subscriber_hash from items where operation = 'create'),
    -- a segment that was deleted there and made anew has another id, and so all its members differ
    desired as (
        select
            w.*, md5('in/' || coalesce(g.remote_id, 'new')) as desired_hash,
            c.subscriber_hash is not null as is_reachable
        from wanted as w
        left join segments as g on w.segment_name = g.segment_name
        left join reachable as c on w.subscriber_hash = c.subscriber_hash
    ),
    entering as (
        select
            d.record_key, d.subscriber_hash, d.segment_name,
            case
                when not d.is_reachable then 'blocked'
                when {WAITING} or {_settled("d.desired_hash")} then 'held'
                when {_differs("d.desired_hash")} then 'add'
                when n.subscriber_hash is not null or s.confirmed_number < m.create_number then 'add'
                else 'unchanged'
            end as operation,
            case
                when not d.is_reachable then 'not_a_member'
                when {WAITING} then 'waiting'
                when {_settled("d.desired_hash")} then coalesce(s.rejected_class, s.state)
            end as reason,
            d.desired_hash
        from desired as d
        left join known as s on d.record_key = s.record_key
        -- who was, or is being, created anew has lost her memberships
        left join created as m on d.subscriber_hash = m.subscriber_hash
        left join creating as n on d.subscriber_hash = n.subscriber_hash
    ),
    leaving as (
        select
            s.record_key, s.subscriber_hash, s.segment_name,
            case
                when {ABSENT} or r.status = 'archived' or g.remote_id is null then 'retire'
                when {WAITING} or {_settled(f"'{GONE}'")} then 'held'
                else 'remove'
            end as operation,
            case
                when {WAITING} then 'waiting'
                when {_settled(f"'{GONE}'")} then coalesce(s.rejected_class, s.state)
            end as reason,
            '{GONE}' as desired_hash
        from known as s
        left join desired as d on s.record_key = d.record_key and d.is_reachable
        left join remote as r on s.subscriber_hash = r.subscriber_hash
        left join segments as g on s.segment_name = g.segment_name
        where
            d.record_key is null
            and (s.is_doubtful or coalesce(s.confirmed_hash, '{GONE}') <> '{GONE}')
    )
    select 'membership' as object, record_key, subscriber_hash, segment_name, operation, reason, desired_hash
    from entering
    union all
    select 'membership', record_key, subscriber_hash, segment_name, operation, reason, desired_hash from leaving
    """


def _insert_items(
    con: duckdb.DuckDBPyConnection, scope: Scope, select_sql: str, destination: Destination, first_batch: int
) -> dict[tuple[str, str], int]:
    """Store what is to be sent, held or blocked, with batch numbers; counts by (operation, reason).

    Batches are of one operation and segment, in the order of `PHASES`. Blocked memberships are counted, not stored:
    the reason is the person's.
    """
    values: dict[str, object] = {"sync_name": scope.sync_name, "destination": scope.destination}
    if "$plan_id" in select_sql:
        values["plan_id"] = scope.plan_id
    con.execute(f"create temp table judged_items as {select_sql}", values)
    counted = con.execute(
        "select operation, coalesce(reason, ''), count(*) from judged_items group by operation, coalesce(reason, '')"
    ).fetchall()
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
                case operation {sizes} end as size,
                row_number() over (partition by operation, segment_name order by record_key) as position
            from judged_items
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
                        order by phase nulls last, operation, coalesce(segment_name, ''), chunk
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


def write_items(
    con: duckdb.DuckDBPyConnection, scope: Scope, destination: Destination
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Replace the sync's plan items; counts by (operation, reason) for members and for memberships."""
    con.execute(
        "delete from ledger.sync_plan_items where sync_name = ? and destination = ?",
        [scope.sync_name, scope.destination],
    )
    members = _insert_items(con, scope, _members_sql(scope), destination, 0)
    if scope.declaration.segments is None:
        return members, {}
    last = con.execute(
        "select coalesce(max(batch_number), 0) from ledger.sync_plan_items where plan_id = ?", [scope.plan_id]
    ).fetchall()[0][0]
    return members, _insert_items(con, scope, _memberships_sql(scope), destination, int(last))
