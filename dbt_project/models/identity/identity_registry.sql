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

with identifiers as {{ whole_in_place() }} (
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

-- who of them was registered before: texts are compared for those alone
remembered as (
    select
        identifiers.node_key,
        recorded.registered_at,
        recorded.registered_first_seen_at,
        recorded.profile_id
    from recorded
    inner join identifiers
        on
            recorded.identifier_type = identifiers.identifier_type
            and recorded.identifier_value = identifiers.identifier_value
),

-- from here to the names in numbers alone
registered as (
    select
        identifiers.node_key,
        identifiers.tier,
        identifiers.stands_alone,
        coalesce(remembered.registered_at, clock.as_of) as registered_at,
        coalesce(remembered.registered_first_seen_at, identifiers.first_seen_at) as registered_first_seen_at
    from identifiers
    cross join clock
    left join quarantine
        on
            identifiers.node_key = quarantine.node_key
            -- whoever is over budget has lost its edges and stands alone: what was refused at a shared mailbox still holds there
            and quarantine.reason = 'blocked'
    left join remembered on identifiers.node_key = remembered.node_key
    where quarantine.node_key is null
),

founded as (
    {{ founded_components('registered', 'components') }}
),

bridges as (
    select
        registered.node_key,
        registered.registered_at,
        registered.registered_first_seen_at,
        registered.stands_alone,
        coalesce(components.component_key, registered.node_key) as component_key
    from registered
    left join components on registered.node_key = components.node_key
    left join founded on components.component_key = founded.component_key
    where registered.tier = 'bridge' and (registered.stands_alone or founded.component_key is not null)
),

-- a component is called after its earliest registered bridge, and never after what is made of others, which comes and goes with a
-- name or an option; in steps of minima, which need no sorting
earliest_registration as (
    select
        bridges.component_key,
        min(bridges.registered_at) as registered_at
    from bridges
    where bridges.stands_alone
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
    where bridges.stands_alone
    group by bridges.component_key, bridges.registered_at
),

anchors as (
    select
        bridges.component_key,
        min({{ node_hash('identifiers.identifier_type', 'identifiers.identifier_value') }}) as profile_id
    from bridges
    inner join earliest_sighting
        on
            bridges.component_key = earliest_sighting.component_key
            and bridges.registered_at = earliest_sighting.registered_at
            and bridges.registered_first_seen_at = earliest_sighting.registered_first_seen_at
    inner join identifiers on bridges.node_key = identifiers.node_key
    where bridges.stands_alone
    group by bridges.component_key
),

hosts as (
    select
        attachments.node_key,
        {{ node_hash('identifiers.identifier_type', 'identifiers.identifier_value') }} as profile_id
    from attachments
    inner join registered on attachments.host_key = registered.node_key
    inner join identifiers on attachments.host_key = identifiers.node_key
),

places as (
    select
        bridges.node_key,
        bridges.component_key,
        bridges.registered_at,
        bridges.registered_first_seen_at,
        false as stands_alone
    from bridges
    union all
    select
        registered.node_key,
        attachments.component_key,
        registered.registered_at,
        registered.registered_first_seen_at,
        registered.stands_alone
    from registered
    inner join attachments on registered.node_key = attachments.node_key
),

assigned as {{ in_place() }} (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        places.registered_at,
        places.registered_first_seen_at,
        coalesce(
            anchors.profile_id,
            hosts.profile_id,
            {{ node_hash('identifiers.identifier_type', 'identifiers.identifier_value') }}
        ) as profile_id
    from identifiers
    inner join places on identifiers.node_key = places.node_key
    left join anchors on places.component_key = anchors.component_key
    left join hosts on identifiers.node_key = hosts.node_key
    where anchors.profile_id is not null or hosts.profile_id is not null or places.stands_alone
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
    left join remembered on assigned.node_key = remembered.node_key
    where remembered.profile_id is null or remembered.profile_id <> assigned.profile_id
),

stayed as (
    select
        assigned.identifier_type,
        assigned.identifier_value
    from remembered
    inner join assigned on remembered.node_key = assigned.node_key and remembered.profile_id = assigned.profile_id
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
    left join stayed
        on
            recorded.identifier_type = stayed.identifier_type
            and recorded.identifier_value = stayed.identifier_value
    where recorded.profile_id is not null and stayed.identifier_type is null
),

final as (
    select * from opened
    union all
    select * from closed
)

select * from final
