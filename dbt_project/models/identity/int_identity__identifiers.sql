{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('node_key') }}",
) }}

with sightings as (
    select * from {{ ref('int_identity__sightings') }}
    {{ within_region(node_key('identifier_type', 'identifier_value')) }}
),

identifier_types as (
    select * from {{ ref('identifier_types') }}
),

seen as (
    select
        sightings.identifier_type,
        sightings.identifier_value,
        max(case when sightings.is_role then 1 else 0 end) = 1 as is_role,
        max(case when sightings.is_disposable then 1 else 0 end) = 1 as is_disposable,
        min(sightings.first_seen_at) as first_seen_at,
        max(sightings.last_seen_at) as last_seen_at,
        cast(sum(sightings.n_seen) as bigint) as n_seen
    from sightings
    group by sightings.identifier_type, sightings.identifier_value
),

final as (
    select
        {{ node_key('seen.identifier_type', 'seen.identifier_value') }} as node_key,
        seen.identifier_type,
        seen.identifier_value,
        -- the address of an office, or of a throw-away provider, joins nobody: several people may read it
        case when seen.is_role or seen.is_disposable then 'attach' else identifier_types.tier end as tier,
        identifier_types.stands_alone,
        seen.is_role,
        seen.is_disposable,
        seen.first_seen_at,
        seen.last_seen_at,
        seen.n_seen
    from seen
    inner join identifier_types on seen.identifier_type = identifier_types.identifier_type
)

select * from final
