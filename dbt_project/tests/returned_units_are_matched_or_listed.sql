-- Every returned unit either takes back a sold unit or is listed as unmatched; none is counted twice.
with lines as (
    select * from {{ ref('int_orders__lines') }}
),

matches as (
    select * from {{ ref('int_orders__return_matches') }}
),

unmatched as (
    select * from {{ ref('int_orders__unmatched_returns') }}
),

matched as (
    select
        matches.return_line_id,
        sum(matches.quantity) as quantity
    from matches
    group by matches.return_line_id
)

select
    lines.order_line_id,
    lines.quantity,
    matched.quantity as matched_quantity,
    unmatched.unmatched_quantity
from lines
left join matched on lines.order_line_id = matched.return_line_id
left join unmatched on lines.order_line_id = unmatched.order_line_id
where
    lines.excluded_reason is null
    and lines.order_type = 'return'
    and coalesce(matched.quantity, 0) + coalesce(unmatched.unmatched_quantity, 0) <> abs(lines.quantity)
