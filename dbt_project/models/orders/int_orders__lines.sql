with lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

orders as (
    select * from {{ ref('int_orders__current') }}
),

products as (
    select * from {{ ref('int_products__classified') }}
),

-- a later delivery of the same line replaces the earlier one
versioned as (
    select
        lines.*,
        row_number() over (
            partition by lines.order_id, lines.line_number
            order by lines.loaded_at desc nulls last, lines.load_id desc, lines.row_number desc
        ) as version_position
    from lines
),

-- the same line twice in one order, equal in everything but its number
repeated as (
    select
        versioned.*,
        row_number() over (
            partition by
                versioned.order_id,
                versioned.product_id,
                versioned.description,
                versioned.quantity,
                versioned.unit_price,
                versioned.created_at,
                case when versioned.version_position = 1 then 1 else 0 end
            order by versioned.line_number asc nulls last, versioned.load_id asc, versioned.row_number asc
        ) as repeat_position
    from versioned
),

final as (
    select
        {{ hash_key(['repeated.order_id', 'repeated.line_number', 'repeated.load_id', 'repeated.row_number']) }} as line_key,
        {{ hash_key(['repeated.order_id', 'repeated.line_number']) }} as order_line_id,
        repeated.order_id,
        repeated.line_number,
        orders.order_type,
        orders.original_order_id,
        orders.customer_id,
        orders.identifier_type,
        orders.identifier_value,
        repeated.product_id,
        repeated.description,
        repeated.quantity,
        repeated.unit_price,
        orders.currency,
        orders.ordered_at,
        orders.ordered_on,
        -- a line is known once its order is too
        greatest(
            orders.known_at,
            {{ known_at_of('shop', 'repeated.created_at', loaded_at='repeated.loaded_at') }}
        ) as known_at,
        -- the first rule that holds
        case
            when repeated.version_position > 1 then 'superseded'
            when orders.order_id is null then 'order_unknown'
            when repeated.repeat_position > 1 then 'exact_duplicate'
            when orders.is_test then 'test_order'
            when orders.is_cancelled then 'cancelled_order'
            when not products.is_product then 'not_a_product'
            when not coalesce(repeated.unit_price > 0, false) then 'price_not_positive'
            when orders.order_type = 'sale' and not coalesce(repeated.quantity > 0, false) then 'quantity_not_positive'
            when orders.order_type = 'return' and not coalesce(repeated.quantity < 0, false) then 'quantity_not_negative'
        end as excluded_reason
    from repeated
    left join orders on repeated.order_id = orders.order_id
    left join products on repeated.product_id = products.product_id
)

select * from final
