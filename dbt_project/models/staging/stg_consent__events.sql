with source as (
    select * from {{ source('raw', 'consent_events') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select
        -- ids
        source.consent_event_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        source.channel,
        source.purpose,
        source.state,
        source.source,
        source.wording_version,
        source.evidence,

        -- timestamps
        source.occurred_at,
        source.received_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('consent', 'source.occurred_at', 'source.received_at') }}
)

select * from final
