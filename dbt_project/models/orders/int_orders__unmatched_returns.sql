with lines as (
    select * from {{ ref('int_orders__lines') }}
),

matches as (
    select * from {{ ref('int_orders__return_matches') }}
),

matched as (
    select
        matches.return_line_id,
        sum(matches.quantity) as quantity
    from matches
    group by matches.return_line_id
),

sold_orders as (
    select distinct lines.order_id
    from lines
    where lines.excluded_reason is null and lines.order_type = 'sale'
),

remaining as (
    select
        lines.*,
        cast(abs(lines.quantity) as bigint) as returned_quantity,
        cast(abs(lines.quantity) - coalesce(matched.quantity, 0) as bigint) as unmatched_quantity,
        sold_orders.order_id is not null as is_original_sold
    from lines
    left join matched on lines.order_line_id = matched.return_line_id
    left join sold_orders on lines.original_order_id = sold_orders.order_id
    where lines.excluded_reason is null and lines.order_type = 'return'
),

final as (
    select
        remaining.order_line_id,
        remaining.order_id,
        remaining.line_number,
        remaining.original_order_id,
        remaining.identifier_type,
        remaining.identifier_value,
        remaining.product_id,
        remaining.ordered_at as returned_at,
        remaining.returned_quantity,
        remaining.unmatched_quantity,
        cast(remaining.unmatched_quantity * remaining.unit_price as numeric(18, 2)) as unmatched_value,
        remaining.currency,
        case
            when remaining.original_order_id is not null and not remaining.is_original_sold then 'original_order_unknown'
            when remaining.original_order_id is not null then 'exceeds_original_order'
            when remaining.identifier_value is null then 'buyer_unknown'
            when remaining.unmatched_quantity < remaining.returned_quantity then 'exceeds_earlier_sales'
            else 'no_earlier_sale_left'
        end as reason
    from remaining
    where remaining.unmatched_quantity > 0
)

select * from final
