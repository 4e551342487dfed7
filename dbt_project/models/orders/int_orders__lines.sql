with lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

orders as (
    select * from {{ ref('int_orders__current') }}
),

products as (
    select * from {{ ref('int_products__classified') }}
),

final as (
    {{ judged_lines('lines', 'orders', 'products') | indent(4) }}
)

select * from final
