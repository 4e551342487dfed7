{{ config(materialized='view') }}

with events as (
    select * from {{ ref('int_email__events') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

final as (
    select
        events.email_event_id,
        identifier_profiles.profile_id,
        events.identifier_type,
        events.identifier_value,
        events.event_type,
        events.bounce_type,
        events.message_id,
        events.campaign_id,
        events.link_url,
        events.occurred_at,
        events.occurred_on,
        events.received_at,
        events.known_at,
        identifier_profiles.linked_at,
        events.p_human,
        coalesce(events.p_human < {{ var('human_min_probability') }}, false) as is_machine,
        events.machine_reason,
        events.machine_rule_version
    from events
    left join identifier_profiles
        on
            events.identifier_type = identifier_profiles.identifier_type
            and events.identifier_value = identifier_profiles.identifier_value
    where events.report_number = 1
)

select * from final
