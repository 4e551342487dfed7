with orders as (
    select * from {{ ref('stg_shop__orders') }}
),

exchange_rates as (
    select * from {{ ref('exchange_rates') }}
),

final as (
    {{ current_orders('orders', 'exchange_rates') | indent(4) }}
)

select * from final
