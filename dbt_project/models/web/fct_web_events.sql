{{ config(materialized='view') }}

with events as (
    select * from {{ ref('int_web__events') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

final as (
    select
        events.web_event_id,
        identifier_profiles.profile_id,
        events.identifier_type,
        events.identifier_value,
        events.session_id,
        events.is_session_start,
        events.event_name,
        events.occurred_at,
        events.occurred_on,
        events.received_at,
        events.known_at,
        identifier_profiles.linked_at,
        events.product_id,
        events.category,
        events.order_id,
        events.page_url,
        events.campaign_name
    from events
    left join identifier_profiles
        on
            events.identifier_type = identifier_profiles.identifier_type
            and events.identifier_value = identifier_profiles.identifier_value
    where events.delivery = 1
)

select * from final
