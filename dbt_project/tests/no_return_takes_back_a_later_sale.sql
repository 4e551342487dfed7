-- A matched return happened at or after the sale that it takes back, and is of the same product.
with matches as (
    select * from {{ ref('int_orders__return_matches') }}
),

lines as (
    select * from {{ ref('int_orders__lines') }}
)

select
    matches.return_line_id,
    matches.order_line_id
from matches
inner join lines as sales on matches.order_line_id = sales.order_line_id and sales.excluded_reason is null
inner join lines as returns on matches.return_line_id = returns.order_line_id and returns.excluded_reason is null
where returns.ordered_at < sales.ordered_at or returns.product_id <> sales.product_id
