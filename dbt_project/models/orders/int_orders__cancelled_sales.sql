with lines as (
    select * from {{ ref('int_orders__lines') }}
),

orders as (
    select * from {{ ref('int_orders__current') }}
),

products as (
    select * from {{ ref('int_products__classified') }}
),

final as (
    select
        lines.order_line_id,
        lines.order_id,
        lines.identifier_type,
        lines.identifier_value,
        lines.product_id,
        lines.ordered_at,
        lines.ordered_on,
        orders.cancelled_at,
        lines.quantity,
        lines.unit_price,
        lines.currency,
        cast(lines.quantity * lines.unit_price as numeric(18, 2)) as gross_revenue
    from lines
    inner join orders on lines.order_id = orders.order_id
    inner join products on lines.product_id = products.product_id
    where
        lines.excluded_reason = 'cancelled_order'
        and lines.order_type = 'sale'
        -- cancelled nobody knows when: as if it never was
        and orders.cancelled_at > lines.ordered_at
        -- the rules that come after the cancellation
        and products.is_product
        and lines.unit_price > 0
        and lines.quantity > 0
)

select * from final
