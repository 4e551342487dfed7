with lines as (
    select * from {{ ref('int_orders__lines') }}
),

usable as (
    select
        lines.order_line_id as line_id,
        lines.order_id,
        lines.line_number,
        lines.original_order_id,
        lines.identifier_type,
        lines.identifier_value,
        lines.product_id,
        lines.ordered_at as happened_at,
        lines.order_type = 'return' as is_return,
        abs(lines.quantity) as quantity
    from lines
    where lines.excluded_reason is null
),

-- a return that names its order takes back that order's lines and no others
named_movements as (
    select
        {{ hash_key(["case when usable.is_return then usable.original_order_id else usable.order_id end", "usable.product_id"]) }}
            as match_group,
        usable.line_id,
        usable.happened_at,
        usable.order_id as sequence_1,
        usable.line_number as sequence_2,
        usable.is_return,
        usable.quantity
    from usable
    where not usable.is_return or usable.original_order_id is not null
),

{{ match_returns('named', 'named_movements') }},

named_totals as (
    select
        named_matches.order_line_id,
        sum(named_matches.quantity) as quantity
    from named_matches
    group by named_matches.order_line_id
),

-- the others take back what the same buyer bought of the same product before, first bought first
fifo_movements as (
    select
        {{ hash_key(['usable.identifier_type', 'usable.identifier_value', 'usable.product_id']) }} as match_group,
        usable.line_id,
        usable.happened_at,
        usable.order_id as sequence_1,
        usable.line_number as sequence_2,
        usable.is_return,
        cast(usable.quantity - coalesce(named_totals.quantity, 0) as bigint) as quantity
    from usable
    left join named_totals on usable.line_id = named_totals.order_line_id
    where
        usable.identifier_value is not null
        and (not usable.is_return or usable.original_order_id is null)
),

{{ match_returns('fifo', 'fifo_movements') }},

final as (
    select
        named_matches.return_line_id,
        named_matches.order_line_id,
        named_matches.returned_at,
        named_matches.quantity,
        'original_order' as matched_by
    from named_matches
    union all
    select
        fifo_matches.return_line_id,
        fifo_matches.order_line_id,
        fifo_matches.returned_at,
        fifo_matches.quantity,
        'first_in_first_out' as matched_by
    from fifo_matches
)

select * from final
