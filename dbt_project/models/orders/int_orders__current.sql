with orders as (
    select * from {{ ref('stg_shop__orders') }}
),

ranked as (
    select
        orders.*,
        row_number() over (
            partition by orders.order_id
            order by orders.loaded_at desc nulls last, orders.load_id desc, orders.row_number desc
        ) as position
    from orders
),

final as (
    select
        ranked.order_id,
        ranked.customer_id,
        case
            when ranked.customer_id is not null then 'customer_id'
            when ranked.user_id is not null then 'user_id'
            when ranked.email is not null then 'email'
            when ranked.loyalty_card is not null then 'loyalty_card'
        end as identifier_type,
        coalesce(ranked.customer_id, ranked.user_id, ranked.email, ranked.loyalty_card) as identifier_value,
        ranked.original_order_id,
        ranked.channel,
        ranked.order_type,
        ranked.country,
        ranked.currency,
        ranked.is_test,
        ranked.is_cancelled,
        ranked.cancelled_at,
        ranked.ordered_at,
        {{ local_date('ranked.ordered_at') }} as ordered_on,
        {{ known_at_of('shop', 'ranked.ordered_at', loaded_at='ranked.loaded_at') }} as known_at
    from ranked
    where ranked.position = 1
)

select * from final
