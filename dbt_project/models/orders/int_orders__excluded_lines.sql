with lines as (
    select * from {{ ref('int_orders__lines') }}
),

final as (
    select
        lines.line_key,
        lines.order_id,
        lines.line_number,
        lines.order_type,
        lines.product_id,
        lines.description,
        lines.quantity,
        lines.unit_price,
        lines.currency,
        lines.ordered_at,
        lines.excluded_reason as reason
    from lines
    where lines.excluded_reason is not null
)

select * from final
