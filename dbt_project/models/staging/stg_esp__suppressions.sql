with source as (
    select * from {{ source('ledger', 'remote_suppressions') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select
        -- ids
        source.suppression_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        source.destination,
        source.kind,

        -- timestamps
        source.suppressed_at as occurred_at,
        source.seen_at as received_at
    from source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('esp', 'source.suppressed_at', 'source.seen_at', 'source.seen_at') }}
)

select * from final
