"""What has to be sent: desired rows against confirmed hashes, in SQL. Nothing here speaks to a destination.

A record is sent when what is confirmed differs from what is desired, or when an answer is outstanding (is_doubtful);
it is held when the very same content was rejected for good; it is blocked when consent, or the destination's own
state, says no. A hash covers the columns that are sent and the fingerprint of the mapping that turns them into fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from reverse_etl.columns import ANYTHING, FLAG, INSTANT, NUMBER, TEXT, VALUE, check_columns, check_values
from reverse_etl.declaration import Compared, FieldMapping, SyncDeclaration
from warehouse.clock import utcnow
from warehouse.errors import ConfigError, DataError

HASH_VERSION = "md5.1"
_DATES = re.compile(r"DATE|TIMESTAMP")
GONE = "gone"
"""Hash of a record that is to be, or is, no longer there (a tombstone; a membership that ended)."""
LOWERED = "lowered"
"""Hash of a person whose subscription we ended."""

ABSENT = "(r.subscriber_hash is null or not coalesce(r.is_counted, true))"
"""SQL: not there, or known there by a suppression alone, which has no fields and no memberships (alias `r`)."""

MEMBERS = "sync_name = $sync_name and destination = $destination and object = 'member'"
"""SQL: records of people, of one sync and destination."""

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


def compared_value(compared: Compared, alias: str) -> str:
    """SQL (portable) of what of a column makes a difference: the value, or the multiple that it is in."""
    value = f"{alias}.{compared.column}"
    if compared.significance is None:
        return value
    if compared.is_date:
        value = f"(cast({value} as date) - date '1970-01-01')"
    return f"floor({value} / {compared.significance})"


def payload_struct(declaration: SyncDeclaration, alias: str) -> str:
    """SQL of the columns that are sent, in a place of their own: they may be called as anything else is."""
    return "struct_pack(" + ", ".join(f'"{column}" := {alias}."{column}"' for column in declaration.columns) + ")"


def payload_hash(declaration: SyncDeclaration, alias: str) -> str:
    """SQL (portable) of the hash of what would be sent for a row of the activation model; returns text.

    `concat` joins all parts at once: a chain of `||` copies what came before for each column.
    """
    values = (compared_value(one, alias) for one in declaration.compared)
    parts = "".join(f", chr(31), coalesce(cast({value} as text), chr(30))" for value in values)
    return f"md5(concat('{declaration.fingerprint}'{parts}))"


def _numbers_last(mapping: FieldMapping) -> bool:
    """A column of several fields has to fit the pickiest of them."""
    return mapping.type == "number"


def _missing(*columns: str) -> dict[str, str]:
    return {column: f"{column} is null" for column in columns}


def check_model(con: duckdb.DuckDBPyConnection, scope: Scope, *, with_keys: bool = True) -> int:
    """Rows of the model, after checking that it can be synced at all; that nobody is in it twice, `with_keys` alone.

    Raises:
        DataError: the model is not there, a person is in it twice, or a key is missing.
        ConfigError: it lacks a column that the declaration names, or has one of another type.
    """
    declaration = scope.declaration
    kinds = {m.column: NUMBER if m.type == "number" else VALUE for m in sorted(declaration.fields, key=_numbers_last)}
    needed = kinds | {"subscriber_hash": TEXT, "email": TEXT, "consent_verdict": TEXT}
    types = check_columns(con, scope.schema, declaration.model, needed, declaration.name)
    for one in declaration.compared:
        if one.significance is not None and one.is_date and not _DATES.match(types[one.column]):
            raise ConfigError(
                f"`significance` needs a column of dates; {one.column} is {types[one.column]}.",
                where=f"sync '{declaration.name}', {scope.schema}.{declaration.model}",
                todo="leave `significance` out, or cast the column in the model",
            )
    if declaration.addresses:
        needed = {
            "profile_id": ANYTHING,
            "subscriber_hash": TEXT,
            "is_refused": FLAG,
            "suppressions_weighed_to": INSTANT,
        }
        check_columns(con, scope.schema, declaration.addresses, needed, declaration.name)
        # her word at one address would not reach the others
        check_values(con, scope.schema, declaration.addresses, _missing("profile_id", "subscriber_hash"))
    if declaration.segments:
        needed = {"subscriber_hash": TEXT, "segment_name": TEXT, "consent_verdict": TEXT}
        check_columns(con, scope.schema, declaration.segments.model, needed, declaration.name)
        check_values(con, scope.schema, declaration.segments.model, _missing("subscriber_hash", "segment_name"))
    rows, keys = con.execute(f"select count(*), count(subscriber_hash) from {scope.relation}").fetchall()[0]
    if rows != keys or with_keys:
        check_keys(con, scope)
    return int(rows)


def check_keys(con: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    """
    Raises:
        DataError: a person is in the model twice, or without a key.
    """
    rows, keys = con.execute(f"select count(*), count(distinct subscriber_hash) from {scope.relation}").fetchall()[0]
    if rows != keys:
        raise DataError(
            f"{rows - keys} rows of the model have no key of their own: one row per person is needed.",
            where=f"{scope.schema}.{scope.declaration.model}.subscriber_hash",
            todo="correct the model; its `unique` and `not_null` tests name the rows",
        )


def _known_sql(kind: str) -> str:
    """What the ledger says of each record of one kind, in as few and short columns as judging needs.

    `sure_hash`: what is there for certain; null if nothing is known, or something else may be. `settled_hash`: content
    that was rejected for good, or that a person said to leave. `may_be_there`: not known to be gone. `may_come`: a
    creation that nobody answered, or whose job we stopped following, may still come into being, and is emptied then.
    """
    since = utcnow() - COMES_WITHIN
    return f"""
        select
            record_key, subscriber_hash, segment_name, confirmed_number,
            case when not is_doubtful and confirmed_version = '{HASH_VERSION}' then confirmed_hash end as sure_hash,
            case
                when
                    (state = 'skipped' or (state = 'rejected' and rejected_class in ({listed(FINAL_CLASSES)})))
                    and sent_version = '{HASH_VERSION}'
                    then sent_hash
            end as settled_hash,
            coalesce(rejected_class, state) as settled_as,
            state = 'accepted' as is_waiting,  -- the destination has a job for what was sent, and its end decides
            is_doubtful or coalesce(confirmed_hash, '{GONE}') <> '{GONE}' as may_be_there,
            (
                is_doubtful and create_number > coalesce(confirmed_number, 0)
                and updated_at >= timestamp '{since}'
            ) as may_come
        from ledger.sync_state
        where sync_name = $sync_name and destination = $destination and object = '{kind}'"""


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
    addresses as not materialized ({addresses_sql(scope)}),
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


def refused_ctes(scope: Scope) -> str:
    """`unsubscribed`, and all addresses of people who withdrew, as `refused` with the reason."""
    return f"""
    {_unsubscribed_ctes(scope)},
    refused as (
        select subscriber_hash, min(refusal) as refusal
        from (
            select subscriber_hash, 'consent_withdrawn' as refusal from addresses where is_refused
            union all
            select subscriber_hash, 'unsubscribed_in_destination' from unsubscribed
        ) as r
        group by subscriber_hash
    )"""


def subscribable_sql(scope: Scope) -> str:
    """Whom the model lets be subscribed at this moment."""
    return f"""
    with {_unsubscribed_ctes(scope)}
    select m.subscriber_hash
    from {scope.relation} as m
    left join unsubscribed as u on m.subscriber_hash = u.subscriber_hash
    where m.consent_verdict = 'subscribe' and u.subscriber_hash is null"""


def wanted_memberships_sql(scope: Scope) -> str:
    """Who is in which segment, as the destination calls it, by the model; as far as consent goes."""
    mirror = scope.declaration.segments
    assert mirror is not None
    prefix = mirror.prefix.replace("'", "''")
    included = "true" if mirror.include == "all" else f"segment_name in ({listed(mirror.include) or 'null'})"
    return f"""
        select distinct
            subscriber_hash,
            '{prefix}' || segment_name as segment_name,
            '{prefix}' || segment_name || '/' || subscriber_hash as record_key
        from "{scope.schema}"."{mirror.model}"
        where consent_verdict in ('subscribe', 'update_only') and {included}"""


def members_sql(scope: Scope) -> str:
    """One row per person of the model or of the ledger to whom anything is, or would have to be, done; whoever is
    unchanged is left out. Of the tables that have a row for everybody, just what is in `looked_at` is read on.
    """
    looked_at = "in (select key_number from looked_at)"
    is_deleted = "false" if "vanished" in scope.overrides else "o.record_key is not null and t.wanted = 'create'"
    verdicts, lowerable = listed(VERDICTS), listed(LOWERABLE)
    return f"""
    with
    {refused_ctes(scope)},
    -- addresses that are not in the model are ended where they are members, and never a reason to create anybody
    desired as (
        select
            coalesce(m.subscriber_hash, f.subscriber_hash) as subscriber_hash,
            m.subscriber_hash is not null as is_of_model,
            case
                when m.subscriber_hash is null then 'unsubscribe'
                when u.subscriber_hash is not null and m.consent_verdict in ({verdicts}) then 'unsubscribe'
                else m.consent_verdict
            end as consent_verdict,
            case
                when m.subscriber_hash is null then f.refusal
                when u.subscriber_hash is not null and m.consent_verdict <> 'unsubscribe'
                    then 'unsubscribed_in_destination'
                when m.consent_verdict = 'unsubscribe' then 'consent_withdrawn'
            end as refusal,
            case
                when m.subscriber_hash is null then '{LOWERED}' else {payload_hash(scope.declaration, "m")}
            end as content_hash
        from (select * from {scope.relation} where hash(subscriber_hash) {looked_at}) as m
        left join unsubscribed as u on m.subscriber_hash = u.subscriber_hash
        full join refused as f on m.subscriber_hash = f.subscriber_hash
    ),
    known as ({_known_sql("member")} and hash(record_key) {looked_at}),
    paired as (
        select
            coalesce(d.subscriber_hash, s.record_key) as subscriber_hash,
            coalesce(d.is_of_model, false) as is_of_model,
            d.subscriber_hash is not null as is_named,
            d.consent_verdict,
            d.refusal,
            d.content_hash,
            s.sure_hash,
            s.settled_hash,
            s.settled_as,
            coalesce(s.is_waiting, false) as is_waiting,
            coalesce(s.may_be_there, false) as may_be_there,
            coalesce(s.may_come, false) as may_come
        from desired as d
        full join known as s on d.subscriber_hash = s.record_key
    ),
    seen as (
        select
            p.*,
            p.is_of_model or (p.is_named and r.subscriber_hash is not null) as is_desired,
            case
                when p.is_of_model or (p.is_named and r.subscriber_hash is not null) then p.content_hash else '{GONE}'
            end as desired_hash,
            r.subscriber_hash is null as is_missing,
            {ABSENT} as is_absent,
            r.status
        from paired as p
        left join (
            select subscriber_hash, status, is_counted from ledger.remote_members
            where destination = $destination and hash(subscriber_hash) {looked_at}
        ) as r on p.subscriber_hash = r.subscriber_hash
    ),
    -- whom we have asked a destination to subscribe, and who is not (yet): what became of it is her own business
    asked as (
        select distinct record_key from ledger.sync_attempts
        where
            sync_name = $sync_name and destination = $destination and object = 'member'
            and operation = 'create' and outcome = 'confirmed'
            and record_key in (
                select subscriber_hash from ledger.remote_members
                where destination = $destination and status = '{NEVER_SUBSCRIBED}'
            )
    ),
    judged as (
        select
            v.*,
            case
                when not v.is_desired and v.is_absent then 'retire'
                when not v.is_desired and v.status not in ({lowerable}, 'unsubscribed') then 'blocked'
                when not v.is_desired then 'clear'
                when v.consent_verdict = 'unsubscribe' and v.status in ({lowerable}) then 'lower'
                when v.consent_verdict = 'unsubscribe' then 'blocked'
                when v.consent_verdict is null or v.consent_verdict not in ({verdicts}) then 'blocked'
                when v.is_missing and v.consent_verdict <> 'subscribe' then 'blocked'
                when v.is_missing then 'create'
                when v.status = '{NEVER_SUBSCRIBED}' and v.consent_verdict = 'subscribe' and a.record_key is null
                    then 'create'
                when v.status in ({listed(UPDATABLE)}) then 'update'
                else 'blocked'
            end as wanted,
            v.settled_hash is not distinct from v.desired_hash as is_settled,
            v.sure_hash is distinct from v.desired_hash as differs
        from seen as v
        left join asked as a on v.subscriber_hash = a.record_key
        where v.is_desired or v.may_be_there
    ),
    to_do as (
        select * from judged where wanted <> 'update' or is_waiting or is_settled or differs
    ),
    -- who is missing and was there: closing a record of somebody who never came into being says nothing
    once_there as (
        select distinct record_key from ledger.sync_attempts
        where
            sync_name = $sync_name and destination = $destination and object = 'member'
            and operation in ('create', 'update') and outcome = 'confirmed'
            and record_key in (select subscriber_hash from to_do where is_missing and wanted = 'create')
    ),
    final as (
        select t.* replace (case when {is_deleted} then 'blocked' else t.wanted end as wanted)
        from to_do as t
        left join once_there as o on t.subscriber_hash = o.record_key
    )
    select
        'member' as object,
        subscriber_hash as record_key,
        subscriber_hash,
        cast(null as text) as segment_name,
        case
            when wanted in ('lower', 'blocked') then wanted  -- a lowering that failed is tried in each run
            when wanted = 'retire' then case when is_waiting or may_come then 'held' else 'retire' end
            when is_waiting or is_settled then 'held'
            -- somebody who is missing there, in spite of being confirmed, is created when that is asked for
            else wanted
        end as operation,
        case
            when wanted = 'blocked' then case
                when not is_desired then status || '_in_destination'
                when consent_verdict = 'unsubscribe' then refusal
                when consent_verdict is null or consent_verdict not in ({verdicts}) then 'no_consent_verdict'
                when is_missing and consent_verdict <> 'subscribe' then 'no_opt_in_evidence'
                when is_missing then 'deleted_in_destination'
                else status || '_in_destination'
            end
            when wanted = 'retire' then case when is_waiting or may_come then 'waiting' end
            when is_waiting then 'waiting'
            when is_settled then settled_as
        end as reason,
        case when is_desired and consent_verdict = 'unsubscribe' then '{LOWERED}' else desired_hash end as desired_hash,
        is_of_model
    from final
    """


def memberships_sql(scope: Scope) -> str:
    """One row per membership of the model or of the ledger; needs the plan's member items to be there already."""
    return f"""
    with
    wanted as ({wanted_memberships_sql(scope)}),
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
    known as ({_known_sql("membership")}),
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
                when s.is_waiting or s.settled_hash = d.desired_hash then 'held'
                when s.sure_hash is distinct from d.desired_hash then 'add'
                when n.subscriber_hash is not null or s.confirmed_number < m.create_number then 'add'
                else 'unchanged'
            end as operation,
            case
                when not d.is_reachable then 'not_a_member'
                when s.is_waiting then 'waiting'
                when s.settled_hash = d.desired_hash then s.settled_as
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
                when s.is_waiting or s.settled_hash = '{GONE}' then 'held'
                else 'remove'
            end as operation,
            case
                when s.is_waiting then 'waiting'
                when s.settled_hash = '{GONE}' then s.settled_as
            end as reason,
            '{GONE}' as desired_hash
        from known as s
        left join desired as d on s.record_key = d.record_key and d.is_reachable
        left join remote as r on s.subscriber_hash = r.subscriber_hash
        left join segments as g on s.segment_name = g.segment_name
        where
            d.record_key is null and s.may_be_there
    )
    select 'membership' as object, record_key, subscriber_hash, segment_name, operation, reason, desired_hash
    from entering
    union all
    select 'membership', record_key, subscriber_hash, segment_name, operation, reason, desired_hash from leaving
    """
