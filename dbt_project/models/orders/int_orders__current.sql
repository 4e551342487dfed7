with orders as (
    select * from {{ ref('stg_shop__orders') }}
),

final as (
    {{ current_orders('orders') | indent(4) }}
)

select * from final
