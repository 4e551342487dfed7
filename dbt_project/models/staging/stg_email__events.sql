with source as (
    select * from {{ source('raw', 'email_events') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

timed as (
    select
        source.*,
        case when source.occurred_at > source.received_at then source.received_at else source.occurred_at end as happened_at
    from source
),

final as (
    select
        -- ids
        source.event_id as email_event_id,
        source.message_id,
        source.campaign_id,

        -- text
        source.event as event_type,
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        source.bounce_type,
        source.link_url,
        source.user_agent,
        source.ip,
        upper(source.http_method) as http_method,

        -- booleans
        coalesce(source.is_provider_flagged_machine, false) as is_provider_flagged_machine,

        -- timestamps
        source.happened_at as occurred_at,
        source.received_at,
        {{ known_at_of('email', 'source.happened_at', 'source.received_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from timed as source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('email', 'source.happened_at', 'source.received_at') }}
)

select * from final
