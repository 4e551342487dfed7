with identified as (
    select * from {{ ref('int_identity__sightings') }}
),

contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

customers as (
    select * from {{ ref('stg_shop__customers') }}
),

signups as (
    select * from {{ ref('stg_newsletter__signups') }}
),

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

web_events as (
    select * from {{ ref('stg_web__events') }}
),

email_events as (
    select * from {{ ref('stg_email__events') }}
),

consent_events as (
    select * from {{ ref('stg_consent__events') }}
),

-- whose earliest sighting did not arrive when it happened
late as (
    select distinct
        identified.identifier_type,
        identified.identifier_value
    from identified
    where identified.available_at > {{ add_microseconds('identified.first_seen_at', 1) }}
),

sighted as {{ in_place() }} (
    {{ stated_sightings() }}
),

ordered as (
    select
        sighted.identifier_type,
        sighted.identifier_value,
        sighted.seen_at,
        sighted.available_at,
        min(sighted.seen_at) over (
            partition by sighted.identifier_type, sighted.identifier_value
            order by sighted.available_at asc nulls last, sighted.seen_at asc nulls last
            rows between unbounded preceding and 1 preceding
        ) as earliest_before
    from sighted
    inner join late
        on
            sighted.identifier_type = late.identifier_type
            and sighted.identifier_value = late.identifier_value
),

final as (
    select
        ordered.identifier_type,
        ordered.identifier_value,
        ordered.seen_at,
        ordered.available_at
    from ordered
    where ordered.earliest_before is null or ordered.seen_at < ordered.earliest_before
)

select * from final
