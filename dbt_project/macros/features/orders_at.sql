{#-
    The lines of the shop that show somebody (cutoff_number, identifier_type, identifier_value, line_type, order_line_id, order_id,
    product_id, ordered_at, ordered_on, quantity, returned_quantity, unit_price, currency, is_made_again), as a build at the cut-off would have
    seen them: line_type is 'sale', 'return' or 'cancelled' (a sale that was taken back by then). `cutoffs` is a relation of macro
    cutoffs_at.

    Most buyers' lines are those of today, less what came later. For the others (int_features__unsettled_orders) the orders are made
    again, by the same rules, from the deliveries seen by then; each cut-off's are apart because its number leads every name.
-#}
{%- macro shop_lines_at(cutoffs) -%}
with past as (
    select
        cutoffs.cutoff_number,
        cutoffs.as_of,
        cutoffs.known_at,
        cast(cutoffs.cutoff_number as text) || ':' as prefix
    from {{ cutoffs }} as cutoffs
    where cutoffs.is_past
),

unsettled as {{ in_place() }} (
    select * from {{ ref('int_features__unsettled_orders') }}
),

deliveries as {{ in_place() }} (
    select * from {{ ref('stg_shop__orders') }}
),

delivered_lines as {{ in_place() }} (
    select * from {{ ref('stg_shop__order_lines') }}
),

products as {{ in_place() }} (
    select * from {{ ref('int_products__classified') }}
),

order_lines as {{ in_place() }} (
    select * from {{ ref('fct_order_lines') }}
),

all_lines as {{ in_place() }} (
    select * from {{ ref('int_orders__lines') }}
),

return_matches as {{ in_place() }} (
    select * from {{ ref('int_orders__return_matches') }}
),

unsettled_buyers as (
    select distinct
        past.cutoff_number,
        past.as_of,
        past.known_at,
        past.prefix,
        unsettled.identifier_type,
        unsettled.identifier_value
    from past
    inner join unsettled
        on
            past.as_of > unsettled.happened_at
            and (past.as_of <= unsettled.settled_at or past.known_at < unsettled.known_through)
),

named_deliveries as {{ in_place() }} (
    select
        deliveries.order_id,
        deliveries.original_order_id,
        {{ buyer_type('deliveries') }} as identifier_type,
        {{ buyer_value('deliveries') }} as identifier_value
    from deliveries
),

own_orders as (
    select distinct
        unsettled_buyers.cutoff_number,
        unsettled_buyers.as_of,
        unsettled_buyers.known_at,
        unsettled_buyers.prefix,
        named_deliveries.order_id
    from unsettled_buyers
    inner join named_deliveries
        on
            unsettled_buyers.identifier_type = named_deliveries.identifier_type
            and unsettled_buyers.identifier_value = named_deliveries.identifier_value
),

-- whoever brings it back
again as (
    select * from own_orders
    union distinct
    select
        own_orders.cutoff_number,
        own_orders.as_of,
        own_orders.known_at,
        own_orders.prefix,
        named_deliveries.order_id
    from own_orders
    inner join named_deliveries on own_orders.order_id = named_deliveries.original_order_id
),

deliveries_then as (
    select
        again.prefix || deliveries.order_id as order_id,
        again.prefix || deliveries.customer_id as customer_id,
        again.prefix || deliveries.user_id as user_id,
        again.prefix || deliveries.email as email,
        again.prefix || deliveries.loyalty_card as loyalty_card,
        again.prefix || deliveries.original_order_id as original_order_id,
        deliveries.channel,
        deliveries.order_type,
        deliveries.country,
        deliveries.currency,
        deliveries.is_test,
        -- a cancellation that lies after the cut-off has not happened yet
        deliveries.is_cancelled and coalesce(deliveries.cancelled_at < again.as_of, true) as is_cancelled,
        deliveries.cancelled_at,
        deliveries.ordered_at,
        deliveries.known_at,
        deliveries.loaded_at,
        deliveries.load_id,
        deliveries.row_number
    from again
    inner join deliveries
        on
            again.order_id = deliveries.order_id
            and again.as_of > deliveries.ordered_at
            and again.known_at >= deliveries.known_at
),

delivered_lines_then as (
    select
        again.prefix || delivered_lines.order_id as order_id,
        delivered_lines.line_number,
        delivered_lines.product_id,
        delivered_lines.description,
        delivered_lines.quantity,
        delivered_lines.unit_price,
        delivered_lines.created_at,
        delivered_lines.known_at,
        delivered_lines.loaded_at,
        delivered_lines.load_id,
        delivered_lines.row_number
    from again
    inner join delivered_lines
        on
            again.order_id = delivered_lines.order_id
            and again.as_of > delivered_lines.created_at
            and again.known_at >= delivered_lines.known_at
),

orders_then as (
    {{ current_orders('deliveries_then', ref('exchange_rates')) | indent(4) }}
),

lines_then as (
    {{ judged_lines('delivered_lines_then', 'orders_then', 'products') | indent(4) }}
),

matches_then as (
    {{ matched_returns('lines_then') | indent(4) }}
),

returned_then as (
    select
        matches_then.order_line_id,
        sum(matches_then.quantity) as quantity
    from matches_then
    group by matches_then.order_line_id
),

made_again as (
    select
        unsettled_buyers.cutoff_number,
        unsettled_buyers.identifier_type,
        unsettled_buyers.identifier_value,
        lines_then.order_type,
        lines_then.excluded_reason,
        again.order_id,
        lines_then.line_number,
        lines_then.product_id,
        lines_then.ordered_at,
        lines_then.ordered_on,
        lines_then.quantity,
        cast(coalesce(returned_then.quantity, 0) as bigint) as returned_quantity,
        lines_then.unit_price,
        lines_then.currency
    from lines_then
    inner join again on lines_then.order_id = again.prefix || again.order_id
    -- what somebody else brought back is hers; she is here with all that is
    inner join unsettled_buyers
        on
            again.cutoff_number = unsettled_buyers.cutoff_number
            and lines_then.identifier_type = unsettled_buyers.identifier_type
            and lines_then.identifier_value = unsettled_buyers.prefix || unsettled_buyers.identifier_value
    left join returned_then on lines_then.order_line_id = returned_then.order_line_id
),

-- a return that lies after the cut-off has not happened yet
not_returned_yet as (
    select
        past.cutoff_number,
        return_matches.order_line_id,
        sum(return_matches.quantity) as quantity
    from past
    inner join return_matches
        on past.as_of <= return_matches.returned_at or past.known_at < return_matches.returned_at
    group by past.cutoff_number, return_matches.order_line_id
),

as_today as (
    select
        order_lines.identifier_type,
        order_lines.identifier_value,
        'sale' as line_type,
        order_lines.order_line_id,
        order_lines.order_id,
        order_lines.product_id,
        order_lines.ordered_at,
        order_lines.ordered_on,
        order_lines.quantity,
        order_lines.returned_quantity,
        order_lines.unit_price,
        order_lines.currency
    from order_lines
    where order_lines.identifier_value is not null
    union all
    select
        all_lines.identifier_type,
        all_lines.identifier_value,
        case when all_lines.order_type = 'return' then 'return' else 'cancelled' end as line_type,
        all_lines.order_line_id,
        all_lines.order_id,
        all_lines.product_id,
        all_lines.ordered_at,
        all_lines.ordered_on,
        all_lines.quantity,
        0 as returned_quantity,
        all_lines.unit_price,
        all_lines.currency
    from all_lines
    where
        all_lines.identifier_value is not null
        and (
            (all_lines.order_type = 'sale' and all_lines.excluded_reason = 'cancelled_order')
            or (all_lines.order_type = 'return' and all_lines.excluded_reason is null)
        )
)

select
    cutoffs.cutoff_number,
    as_today.identifier_type,
    as_today.identifier_value,
    as_today.line_type,
    as_today.order_line_id,
    as_today.order_id,
    as_today.product_id,
    as_today.ordered_at,
    as_today.ordered_on,
    as_today.quantity,
    cast(as_today.returned_quantity - coalesce(not_returned_yet.quantity, 0) as bigint) as returned_quantity,
    as_today.unit_price,
    as_today.currency,
    false as is_made_again
from {{ cutoffs }} as cutoffs
inner join as_today on cutoffs.as_of > as_today.ordered_at and cutoffs.known_at >= as_today.ordered_at
left join not_returned_yet
    on
        cutoffs.cutoff_number = not_returned_yet.cutoff_number
        and as_today.order_line_id = not_returned_yet.order_line_id
left join unsettled_buyers
    on
        cutoffs.cutoff_number = unsettled_buyers.cutoff_number
        and as_today.identifier_type = unsettled_buyers.identifier_type
        and as_today.identifier_value = unsettled_buyers.identifier_value
where unsettled_buyers.cutoff_number is null
union all
select
    made_again.cutoff_number,
    made_again.identifier_type,
    made_again.identifier_value,
    case
        when made_again.order_type = 'return' then 'return'
        when made_again.excluded_reason = 'cancelled_order' then 'cancelled'
        else 'sale'
    end as line_type,
    {{ hash_key(['made_again.order_id', 'made_again.line_number']) }} as order_line_id,
    made_again.order_id,
    made_again.product_id,
    made_again.ordered_at,
    made_again.ordered_on,
    made_again.quantity,
    made_again.returned_quantity,
    made_again.unit_price,
    made_again.currency,
    true as is_made_again
from made_again
where
    made_again.excluded_reason is null
    or (made_again.order_type = 'sale' and made_again.excluded_reason = 'cancelled_order')
{%- endmacro -%}


{#-
    Lines that profiles had bought (as_of, known_at, cutoff_number, profile_id, order_line_id, order_id, product_id, ordered_at,
    ordered_on, quantity, net_quantity, unit_price, gross_revenue, net_revenue, currency); lines that were sent back whole are among
    them with net_quantity 0. `cutoffs` and `links` are relations of the macros cutoffs_at and links_at.
-#}
{%- macro order_lines_at(cutoffs, links) -%}
with shop_lines as (
    {{ shop_lines_at(cutoffs) | indent(4) }}
)

{{ profile_order_lines(cutoffs, links, 'shop_lines') }}
{%- endmacro -%}


{#- The same, of a relation of macro shop_lines_at; `key` is another column of links that stands for the profile. -#}
{%- macro profile_order_lines(cutoffs, links, shop_lines, key='profile_id') -%}
select
    cutoffs.as_of,
    cutoffs.known_at,
    links.cutoff_number,
    links.{{ key }},
    sold.order_line_id,
    sold.order_id,
    sold.product_id,
    sold.ordered_at,
    sold.ordered_on,
    sold.quantity,
    cast(sold.quantity - sold.returned_quantity as bigint) as net_quantity,
    sold.unit_price,
    cast(sold.quantity * sold.unit_price as numeric(18, 2)) as gross_revenue,
    cast((sold.quantity - sold.returned_quantity) * sold.unit_price as numeric(18, 2)) as net_revenue,
    sold.currency
from {{ shop_lines }} as sold
inner join {{ links }} as links
    on
        sold.cutoff_number = links.cutoff_number
        and sold.identifier_type = links.identifier_type
        and sold.identifier_value = links.identifier_value
inner join {{ cutoffs }} as cutoffs on sold.cutoff_number = cutoffs.cutoff_number
where sold.line_type = 'sale'
{%- endmacro -%}


{#-
    Purchases of profiles (as_of, known_at, cutoff_number, profile_id, order_id, ordered_at, ordered_on, net_quantity, net_revenue,
    gross_revenue, currency): the orders of which something was kept. Arguments as for order_lines_at; who has its result at hand
    gives it as `order_lines`.
-#}
{%- macro purchases_at(cutoffs, links, order_lines=none, key='profile_id') -%}
{%- if order_lines is none -%}
with order_lines as (
    {{ order_lines_at(cutoffs, links) | indent(4) }}
)

{% endif -%}
select
    cutoffs.as_of,
    cutoffs.known_at,
    purchases.cutoff_number,
    purchases.{{ key }},
    purchases.order_id,
    purchases.ordered_at,
    purchases.ordered_on,
    purchases.net_quantity,
    purchases.net_revenue,
    purchases.gross_revenue,
    purchases.currency
from (
    select
        bought.cutoff_number,
        bought.{{ key }},
        bought.order_id,
        min(bought.ordered_at) as ordered_at,
        min(bought.ordered_on) as ordered_on,
        cast(sum(bought.net_quantity) as bigint) as net_quantity,
        cast(sum(bought.net_revenue) as numeric(18, 2)) as net_revenue,
        cast(sum(bought.gross_revenue) as numeric(18, 2)) as gross_revenue,
        min(bought.currency) as currency
    from {{ order_lines or 'order_lines' }} as bought
    group by bought.cutoff_number, bought.{{ key }}, bought.order_id
    -- an order that was sent back whole is no purchase
    having sum(bought.net_quantity) > 0
) as purchases
inner join {{ cutoffs }} as cutoffs on purchases.cutoff_number = cutoffs.cutoff_number
{%- endmacro -%}
