{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('node_key') }}",
) }}

with sightings as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__sightings') }}
    {{ within_region('node_key') }}
),

identifier_types as (
    select * from {{ ref('identifier_types') }}
),

-- most are seen by one source: their row is the identifier, and only the others are folded
repeated as (
    select sightings.node_key
    from sightings
    group by sightings.node_key
    having count(*) > 1
),

seen as (
    select
        sightings.node_key,
        sightings.identifier_type,
        sightings.identifier_value,
        sightings.is_role,
        sightings.is_disposable,
        sightings.first_seen_at,
        sightings.last_seen_at,
        sightings.available_at,
        sightings.n_seen
    from sightings
    left join repeated on sightings.node_key = repeated.node_key
    where repeated.node_key is null
    union all
    select
        sightings.node_key,
        sightings.identifier_type,
        sightings.identifier_value,
        max(case when sightings.is_role then 1 else 0 end) = 1 as is_role,
        max(case when sightings.is_disposable then 1 else 0 end) = 1 as is_disposable,
        min(sightings.first_seen_at) as first_seen_at,
        max(sightings.last_seen_at) as last_seen_at,
        min(sightings.available_at) as available_at,
        cast(sum(sightings.n_seen) as bigint) as n_seen
    from sightings
    inner join repeated on sightings.node_key = repeated.node_key
    group by sightings.node_key, sightings.identifier_type, sightings.identifier_value
),

final as (
    select
        seen.node_key,
        seen.identifier_type,
        seen.identifier_value,
        -- the address of an office, or of a throw-away provider, joins nobody: several people may read it
        case when seen.is_role or seen.is_disposable then 'attach' else identifier_types.tier end as tier,
        identifier_types.stands_alone,
        seen.is_role,
        seen.is_disposable,
        seen.first_seen_at,
        seen.last_seen_at,
        seen.available_at,
        seen.n_seen
    from seen
    inner join identifier_types on seen.identifier_type = identifier_types.identifier_type
)

select * from final
