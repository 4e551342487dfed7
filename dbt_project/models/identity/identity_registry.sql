{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['identifier_type', 'identifier_value', 'assigned_at'],
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['assigned_at', 'assigned_until']) }}",
        "{{ forget_resolved_by_hand() }}",
        "{{ take_back_inserts('assigned_at', within_region(node_key('identifier_type', 'identifier_value'), and_also=true)) }}",
        "{{ take_back_closings('assigned_until', within_region(node_key('identifier_type', 'identifier_value'), and_also=true)) }}",
    ],
) }}

with identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
    {{ within_region('node_key') }}
),

quarantine as (
    select * from {{ ref('int_identity__quarantine') }}
),

components as (
    select * from {{ ref('int_identity__components') }}
),

attachments as (
    select * from {{ ref('int_identity__attachments') }}
),

clock as (
    select * from {{ source('control', 'clock') }}
),

{%- if is_incremental() %}

recorded as (
    select
        this_table.identifier_type,
        this_table.identifier_value,
        min(this_table.registered_at) as registered_at,
        min(this_table.registered_first_seen_at) as registered_first_seen_at,
        max(case when this_table.assigned_until is null then this_table.profile_id end) as profile_id,
        max(case when this_table.assigned_until is null then this_table.assigned_at end) as assigned_at
    from {{ this }} as this_table
    {{ within_region(node_key('this_table.identifier_type', 'this_table.identifier_value')) }}
    group by this_table.identifier_type, this_table.identifier_value
),
{%- else %}

recorded as (
    select
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.first_seen_at as registered_at,
        identifiers.first_seen_at as registered_first_seen_at,
        cast(null as text) as profile_id,
        identifiers.first_seen_at as assigned_at
    from identifiers
    where 1 = 0
),
{%- endif %}

registered as (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.tier,
        identifiers.stands_alone,
        coalesce(recorded.registered_at, clock.as_of) as registered_at,
        coalesce(recorded.registered_first_seen_at, identifiers.first_seen_at) as registered_first_seen_at,
        recorded.profile_id as recorded_profile_id,
        recorded.assigned_at as recorded_assigned_at
    from identifiers
    cross join clock
    left join quarantine
        on
            identifiers.identifier_type = quarantine.identifier_type
            and identifiers.identifier_value = quarantine.identifier_value
            -- whoever is over budget has lost its edges and stands alone: what was refused at a shared mailbox still holds there
            and quarantine.reason = 'blocked'
    left join recorded
        on
            identifiers.identifier_type = recorded.identifier_type
            and identifiers.identifier_value = recorded.identifier_value
    where quarantine.identifier_type is null
),

bridges as (
    select
        registered.*,
        coalesce(components.component_key, registered.node_key) as component_key
    from registered
    left join components on registered.node_key = components.node_key
    -- a telephone with a name that lost its edges is nobody, not a person without any other trace
    where registered.tier = 'bridge' and (registered.stands_alone or components.node_key is not null)
),

-- a component is called after its earliest registered bridge; in steps of minima, which need no sorting
earliest_registration as (
    select
        bridges.component_key,
        min(bridges.registered_at) as registered_at
    from bridges
    group by bridges.component_key
),

earliest_sighting as (
    select
        bridges.component_key,
        bridges.registered_at,
        min(bridges.registered_first_seen_at) as registered_first_seen_at
    from bridges
    inner join earliest_registration
        on
            bridges.component_key = earliest_registration.component_key
            and bridges.registered_at = earliest_registration.registered_at
    group by bridges.component_key, bridges.registered_at
),

anchors as (
    select
        bridges.component_key,
        min({{ node_hash('bridges.identifier_type', 'bridges.identifier_value') }}) as profile_id
    from bridges
    inner join earliest_sighting
        on
            bridges.component_key = earliest_sighting.component_key
            and bridges.registered_at = earliest_sighting.registered_at
            and bridges.registered_first_seen_at = earliest_sighting.registered_first_seen_at
    group by bridges.component_key
),

assigned as (
    select
        bridges.identifier_type,
        bridges.identifier_value,
        bridges.registered_at,
        bridges.registered_first_seen_at,
        bridges.recorded_profile_id,
        bridges.recorded_assigned_at,
        anchors.profile_id
    from bridges
    inner join anchors on bridges.component_key = anchors.component_key
    union all
    select
        registered.identifier_type,
        registered.identifier_value,
        registered.registered_at,
        registered.registered_first_seen_at,
        registered.recorded_profile_id,
        registered.recorded_assigned_at,
        coalesce(
            anchors.profile_id,
            {{ node_hash('hosts.identifier_type', 'hosts.identifier_value') }},
            {{ node_hash('registered.identifier_type', 'registered.identifier_value') }}
        ) as profile_id
    from registered
    inner join attachments on registered.node_key = attachments.node_key
    left join anchors on attachments.component_key = anchors.component_key
    left join registered as hosts on attachments.host_key = hosts.node_key
    where anchors.profile_id is not null or hosts.node_key is not null or registered.stands_alone
),

opened as (
    select
        assigned.identifier_type,
        assigned.identifier_value,
        assigned.registered_at,
        assigned.registered_first_seen_at,
        assigned.profile_id,
        clock.as_of as assigned_at,
        cast(null as timestamp) as assigned_until
    from assigned
    cross join clock
    where assigned.recorded_profile_id is null or assigned.recorded_profile_id <> assigned.profile_id
),

closed as (
    select
        recorded.identifier_type,
        recorded.identifier_value,
        recorded.registered_at,
        recorded.registered_first_seen_at,
        recorded.profile_id,
        recorded.assigned_at,
        clock.as_of as assigned_until
    from recorded
    cross join clock
    left join assigned
        on
            recorded.identifier_type = assigned.identifier_type
            and recorded.identifier_value = assigned.identifier_value
    where
        recorded.profile_id is not null
        and (assigned.profile_id is null or assigned.profile_id <> recorded.profile_id)
),

final as (
    select * from opened
    union all
    select * from closed
)

select * from final
