with order_lines as (
    select * from {{ ref('fct_order_lines') }}
),

orders as (
    select * from {{ ref('int_orders__current') }}
),

summed as (
    select
        order_lines.order_id,
        order_lines.profile_id,
        max(order_lines.known_at) as known_at,
        max(order_lines.linked_at) as linked_at,
        count(*) as n_lines,
        sum(order_lines.quantity) as quantity,
        sum(order_lines.net_quantity) as net_quantity,
        sum(order_lines.gross_revenue) as gross_revenue,
        sum(order_lines.returned_revenue) as returned_revenue,
        sum(order_lines.net_revenue) as net_revenue
    from order_lines
    group by order_lines.order_id, order_lines.profile_id
),

final as (
    select
        orders.order_id,
        summed.profile_id,
        orders.identifier_type,
        orders.identifier_value,
        orders.channel,
        orders.country,
        orders.currency,
        orders.ordered_at,
        orders.ordered_on,
        summed.known_at,
        summed.linked_at,
        cast(summed.n_lines as bigint) as n_lines,
        cast(summed.quantity as bigint) as quantity,
        cast(summed.net_quantity as bigint) as net_quantity,
        cast(summed.gross_revenue as numeric(18, 2)) as gross_revenue,
        cast(summed.returned_revenue as numeric(18, 2)) as returned_revenue,
        cast(summed.net_revenue as numeric(18, 2)) as net_revenue,
        summed.net_quantity > 0 as is_purchase
    from orders
    inner join summed on orders.order_id = summed.order_id
)

select * from final
