with orders as (
    select * from {{ ref('stg_shop__orders') }}
),

lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

order_spans as (
    select
        orders.order_id,
        min(orders.ordered_at) as happened_at,
        max(greatest(orders.ordered_at, orders.cancelled_at)) as settled_at,
        max(orders.known_at) as known_through
    from orders
    group by orders.order_id
),

line_spans as (
    select
        lines.order_id,
        max(lines.created_at) as settled_at,
        max(lines.known_at) as known_through
    from lines
    group by lines.order_id
),

spans as (
    select
        order_spans.order_id,
        order_spans.happened_at,
        greatest(order_spans.settled_at, line_spans.settled_at) as settled_at,
        greatest(order_spans.known_through, line_spans.known_through) as known_through
    from order_spans
    left join line_spans on order_spans.order_id = line_spans.order_id
),

-- whoever any of its versions names
buyers as (
    select distinct
        orders.order_id,
        orders.original_order_id,
        orders.order_type,
        {{ buyer_type('orders') }} as identifier_type,
        {{ buyer_value('orders') }} as identifier_value
    from orders
),

returning_unnamed as (
    select distinct
        buyers.identifier_type,
        buyers.identifier_value
    from buyers
    where buyers.order_type = 'return' and buyers.original_order_id is null
),

-- a return that names its order changes that order
named_returns as (
    select distinct
        buyers.order_id,
        buyers.original_order_id
    from buyers
    where buyers.order_type = 'return' and buyers.original_order_id is not null
),

changes as (
    select
        buyers.identifier_type,
        buyers.identifier_value,
        spans.order_id,
        spans.happened_at,
        spans.settled_at,
        spans.known_through
    from spans
    inner join buyers on spans.order_id = buyers.order_id
    union all
    select
        buyers.identifier_type,
        buyers.identifier_value,
        spans.order_id,
        spans.happened_at,
        spans.settled_at,
        spans.known_through
    from named_returns
    inner join spans on named_returns.order_id = spans.order_id
    inner join buyers on named_returns.original_order_id = buyers.order_id
    union all
    -- and with it what is left for the returns that name none
    select
        buyers.identifier_type,
        buyers.identifier_value,
        spans.order_id,
        originals.happened_at,
        spans.settled_at,
        spans.known_through
    from named_returns
    inner join spans on named_returns.order_id = spans.order_id
    inner join spans as originals on named_returns.original_order_id = originals.order_id
    inner join buyers on named_returns.original_order_id = buyers.order_id
    inner join returning_unnamed
        on
            buyers.identifier_type = returning_unnamed.identifier_type
            and buyers.identifier_value = returning_unnamed.identifier_value
),

final as (
    select
        changes.identifier_type,
        changes.identifier_value,
        changes.order_id,
        min(changes.happened_at) as happened_at,
        max(changes.settled_at) as settled_at,
        max(changes.known_through) as known_through
    from changes
    where
        changes.identifier_value is not null
        and (changes.settled_at > changes.happened_at or changes.known_through > changes.happened_at)
    group by changes.identifier_type, changes.identifier_value, changes.order_id
)

select * from final
