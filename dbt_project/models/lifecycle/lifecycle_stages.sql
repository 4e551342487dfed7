{%- set browsing_days = var('consideration_window_days') -%}

with features as (

    select * from {{ ref('profile_features') }}

),

customer_stages as (

    select
        *,
        case
            when orders_lifetime > 0 then
                case
                    when days_since_human_activity >= {{ var('lapsed_after_days') }} then 'lapsed_customer'
                    when {{ feature('orders', var('repeat_buyer_window_days')) }} >= {{ var('repeat_buyer_min_orders') }}
                        then 'repeat_buyer'
                    when days_since_first_purchase < {{ var('new_customer_days') }} then 'new_customer'
                    else 'active_customer'
                end
            when has_signed_up then 'prospect'
            else 'visitor'
        end as customer_stage
    from features

),

final as (

    select
        profile_id,
        as_of,
        customer_stage,
        case
            when customer_stage = 'repeat_buyer' and revenue_lifetime >= {{ var('loyalty_min_lifetime_value') }}
                then 'loyalty'
            when orders_lifetime > 0 then 'customer'
            when
                {{ feature('product_views', browsing_days) }} > 0
                or {{ feature('cart_adds', browsing_days) }} > 0
                then 'consideration'
            else 'awareness'
        end as journey_stage
    from customer_stages

)

select * from final
