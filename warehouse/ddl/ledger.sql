-- What was sent, what the vendor said, and what is therefore known to be there. Nothing here is ever dropped by a rebuild.
create schema if not exists ledger;

-- orders the events of sync_attempts
create sequence if not exists ledger.attempt_numbers;

-- one row per run of a sync
create table if not exists ledger.sync_runs (
    sync_run_id text primary key,
    sync_name text not null,
    destination text not null,
    schema_name text not null,
    as_of timestamp,
    status text not null,
    started_at timestamp not null,
    finished_at timestamp,
    message text,
    report text
);

-- one row per sync and destination while a run holds it: two runners at once are impossible
create table if not exists ledger.sync_leases (
    sync_name text not null,
    destination text not null,
    sync_run_id text not null,
    host text not null,
    process_id bigint not null,
    process_started text not null,
    heartbeat_at timestamp not null,
    primary key (sync_name, destination)
);

-- one row per plan; its counts are what a person was shown
create table if not exists ledger.sync_plans (
    plan_id text primary key,
    sync_run_id text,
    sync_name text not null,
    destination text not null,
    schema_name text not null,
    as_of timestamp,
    hash_version text not null,
    counts text not null,
    created_at timestamp not null
);

-- one row per record that the newest plan of a sync would send, or blocks (with the reason); older plans' items are deleted
create table if not exists ledger.sync_plan_items (
    plan_id text not null,
    sync_name text not null,
    destination text not null,
    object text not null,
    record_key text not null,
    subscriber_hash text not null,
    segment_name text,
    operation text not null,
    reason text,
    desired_hash text,
    batch_number integer
);

-- append-only: one row per event of a sent record ('sent'; 'accepted' where the vendor has a job for it; then how it ended)
create table if not exists ledger.sync_attempts (
    attempt_number bigint not null,
    sync_run_id text not null,
    sync_name text not null,
    destination text not null,
    object text not null,
    record_key text not null,
    subscriber_hash text not null,
    segment_name text,
    batch_id text not null,
    operation text not null,
    sent_hash text not null,
    hash_version text not null,
    outcome text not null,
    rejected_class text,
    message text,
    outcome_at timestamp not null
);
-- the vendor's job of an 'accepted' record
alter table ledger.sync_attempts add column if not exists remote_job text;

-- the fold of sync_attempts: one row per sync, destination, object and record, which `_fold_sent` alone adds. No primary
-- key: its index would take longer to keep than all else that a run writes, and hold off the clearing of deleted rows
create table if not exists ledger.sync_state (
    sync_name text not null,
    destination text not null,
    object text not null,
    record_key text not null,
    subscriber_hash text not null,
    segment_name text,
    state text not null,
    confirmed_hash text,
    confirmed_at timestamp,
    confirmed_version text,
    -- attempt_number of the confirmation, and of the newest creation that was sent: a membership that was confirmed
    -- before its member was created anew is none
    confirmed_number bigint,
    create_number bigint,
    sent_hash text not null,
    sent_version text not null,
    rejected_class text,
    message text,
    is_doubtful boolean not null,
    was_doubtful boolean not null,
    updated_at timestamp not null
);
-- number of the row of the model that has the confirmed hash (reverse_etl/narrowing.py): null, or outdated, is as good
alter table ledger.sync_state add column if not exists quick_hash ubigint;

-- what events say: one row per event that is pending in the newest plan, or was sent and is not closed; its state is that of
-- sync_state (object 'event'), and one without a state is pending
create table if not exists ledger.outbox (
    sync_name text not null,
    destination text not null,
    event_id text not null,
    subscriber_hash text not null,
    event_name text not null,
    occurred_at timestamp not null,
    properties text not null,
    primary key (sync_name, destination, event_id)
);

-- one row per kind of event: as_of of the first run that had it; what happened until then is never sent
create table if not exists ledger.outbox_baselines (
    sync_name text not null,
    destination text not null,
    event_name text not null,
    baseline_at timestamp not null,
    noted_at timestamp not null,
    primary key (sync_name, destination, event_name)
);

-- one row per member that the destination holds, as of the newest pull; pulled before each plan
create table if not exists ledger.remote_members (
    destination text not null,
    subscriber_hash text not null,
    email text not null,
    status text not null,
    fields text,
    last_changed_at timestamp,
    pulled_at timestamp not null,
    primary key (destination, subscriber_hash)
);
-- the vendor's own id; and whether its count of members has this one
alter table ledger.remote_members add column if not exists remote_id text;
alter table ledger.remote_members add column if not exists is_counted boolean default true;

-- append-only: one row per time that a pull found a subscription ended at a destination by anybody but us
create table if not exists ledger.remote_suppressions (
    suppression_id text primary key,
    destination text not null,
    subscriber_hash text not null,
    email text not null,
    kind text not null,
    suppressed_at timestamp not null,
    seen_at timestamp not null
);

-- one row per look at a sample of what is confirmed, and how much of it is not there any more
create table if not exists ledger.sync_audits (
    audit_id text primary key,
    sync_name text not null,
    destination text not null,
    audited_at timestamp not null,
    n_confirmed bigint not null,
    n_checked bigint not null,
    n_drifted bigint not null,
    n_repaired bigint not null,
    -- by what differs: how many
    drifts text not null
);

-- one row per pull of a destination's members
create table if not exists ledger.remote_pulls (
    destination text not null,
    pull_kind text not null,
    newest_change_at timestamp,
    n_members bigint not null,
    fields text not null,
    pulled_at timestamp not null
);

-- one row per segment of ours that the destination holds, as of the newest look
create table if not exists ledger.remote_segments (
    destination text not null,
    segment_name text not null,
    remote_id text not null,
    seen_at timestamp not null,
    primary key (destination, segment_name)
);

-- sync_state as it follows from the attempts alone: a test, and a repair, compare the two
create or replace view ledger.sync_state_from_attempts as
with

last_confirmed as (
    select
        sync_name,
        destination,
        object,
        record_key,
        max(attempt_number) as attempt_number
    from ledger.sync_attempts
    where outcome = 'confirmed'
    group by sync_name, destination, object, record_key
),

latest as (
    select
        *,
        row_number() over (
            partition by sync_name, destination, object, record_key
            order by attempt_number desc
        ) as position_from_end
    from ledger.sync_attempts
),

creations as (
    select
        sync_name,
        destination,
        object,
        record_key,
        max(attempt_number) as attempt_number
    from ledger.sync_attempts
    where outcome = 'sent' and operation = 'create'
    group by sync_name, destination, object, record_key
),

-- sent since the last confirmation, and not known to have failed without a trace: a job that refuses a record may have
-- done a part of it; or found to be other than confirmed since
doubtful as (
    select distinct
        sent.sync_name,
        sent.destination,
        sent.object,
        sent.record_key
    from ledger.sync_attempts as sent
    left join last_confirmed
        on
            sent.sync_name = last_confirmed.sync_name
            and sent.destination = last_confirmed.destination
            and sent.object = last_confirmed.object
            and sent.record_key = last_confirmed.record_key
    left join ledger.sync_attempts as ended
        on
            sent.batch_id = ended.batch_id
            and sent.object = ended.object
            and sent.record_key = ended.record_key
            and ended.outcome = 'rejected'
    left join ledger.sync_attempts as accepted
        on
            sent.batch_id = accepted.batch_id
            and sent.object = accepted.object
            and sent.record_key = accepted.record_key
            and accepted.outcome = 'accepted'
    where
        sent.outcome in ('sent', 'drifted')
        and sent.attempt_number > coalesce(last_confirmed.attempt_number, 0)
        and (ended.batch_id is null or accepted.batch_id is not null)
)

select
    latest.sync_name,
    latest.destination,
    latest.object,
    latest.record_key,
    latest.subscriber_hash,
    latest.segment_name,
    latest.outcome as state,
    confirmed.sent_hash as confirmed_hash,
    confirmed.outcome_at as confirmed_at,
    confirmed.hash_version as confirmed_version,
    last_confirmed.attempt_number as confirmed_number,
    creations.attempt_number as create_number,
    latest.sent_hash,
    latest.hash_version as sent_version,
    latest.rejected_class,
    doubtful.record_key is not null as is_doubtful
from latest
left join last_confirmed
    on
        latest.sync_name = last_confirmed.sync_name
        and latest.destination = last_confirmed.destination
        and latest.object = last_confirmed.object
        and latest.record_key = last_confirmed.record_key
left join ledger.sync_attempts as confirmed
    on last_confirmed.attempt_number = confirmed.attempt_number
left join creations
    on
        latest.sync_name = creations.sync_name
        and latest.destination = creations.destination
        and latest.object = creations.object
        and latest.record_key = creations.record_key
left join doubtful
    on
        latest.sync_name = doubtful.sync_name
        and latest.destination = doubtful.destination
        and latest.object = doubtful.object
        and latest.record_key = doubtful.record_key
where latest.position_from_end = 1;
