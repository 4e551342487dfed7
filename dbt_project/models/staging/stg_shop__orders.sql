with source as (
    select * from {{ source('raw', 'shop_orders') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select
        -- ids
        source.order_id,
        {{ clean_text('source.customer_id') }} as customer_id,
        {{ clean_text('source.user_id') }} as user_id,
        {{ clean_text('source.loyalty_card') }} as loyalty_card,
        {{ clean_text('source.original_order_id') }} as original_order_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        source.channel,
        source.order_type,
        source.country,
        source.currency,

        -- booleans
        coalesce(source.is_test, false) as is_test,
        source.status = 'cancelled'
        and coalesce(source.cancelled_at < {{ as_of() }}, true) as is_cancelled,

        -- timestamps
        source.ordered_at,
        case when source.cancelled_at < {{ as_of() }} then source.cancelled_at end as cancelled_at,
        {{ known_at_of('shop', 'source.ordered_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('shop', 'source.ordered_at') }}
)

select * from final
