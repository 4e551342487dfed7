with source as (
    select * from {{ source('raw', 'consent_events') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

-- a statement was made before it arrived: a clock that runs ahead must not hide a withdrawal, or let a grant outlive one
timed as (
    select
        source.*,
        case when source.occurred_at > source.received_at then source.received_at else source.occurred_at end as happened_at
    from source
),

final as (
    select
        -- ids
        source.consent_event_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        source.channel,
        source.purpose,
        source.state,
        source.source,
        source.wording_version,
        source.evidence,

        -- timestamps
        source.happened_at as occurred_at,
        source.received_at,
        {{ known_at_of('consent', 'source.happened_at', 'source.received_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from timed as source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('consent', 'source.happened_at', 'source.received_at') }}
)

select * from final
