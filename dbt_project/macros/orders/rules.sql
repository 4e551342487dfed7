{#-
    The rules that make orders of deliveries, each over relations that its caller names: the models give them everything that is
    visible at the clock, macro shop_lines_at what was visible at a past instant.
-#}

{#- text: type of the identifier that an order is known by, whatever else it names; null for unknown people. -#}
{%- macro buyer_type(orders) -%}
case
    when {{ orders }}.customer_id is not null then 'customer_id'
    when {{ orders }}.user_id is not null then 'user_id'
    when {{ orders }}.email is not null then 'email'
    when {{ orders }}.loyalty_card is not null then 'loyalty_card'
end
{%- endmacro -%}

{#- text: value of that identifier. -#}
{%- macro buyer_value(orders) -%}
coalesce({{ orders }}.customer_id, {{ orders }}.user_id, {{ orders }}.email, {{ orders }}.loyalty_card)
{%- endmacro -%}


{#-
    The newest delivered version of every order. `orders` has the columns of stg_shop__orders, `exchange_rates` those of the seed:
    an order in another currency than the shop's gets the rate of its local day, if there is one, and is in the shop's from here on.
-#}
{%- macro current_orders(orders, exchange_rates) -%}
with rates as (
    select
        given.currency,
        given.rate,
        given.valid_from,
        lead(given.valid_from) over (partition by given.currency order by given.valid_from asc) as valid_until
    from {{ exchange_rates }} as given
    {%- if var('shop_currency') %}
    where given.currency <> '{{ var('shop_currency') }}'
    {%- else %}
    -- in what, nobody has said
    where false
    {%- endif %}
),

ranked as (
    select
        versions.*,
        row_number() over (
            partition by versions.order_id
            order by versions.loaded_at desc nulls last, versions.load_id desc, versions.row_number desc
        ) as position
    from {{ orders }} as versions
)

select
    ranked.order_id,
    ranked.customer_id,
    {{ buyer_type('ranked') }} as identifier_type,
    {{ buyer_value('ranked') }} as identifier_value,
    ranked.original_order_id,
    ranked.channel,
    ranked.order_type,
    ranked.country,
    case when rates.rate is null then ranked.currency else '{{ var('shop_currency') or '' }}' end as currency,
    ranked.currency as order_currency,
    cast(coalesce(rates.rate, 1) as numeric(18, 8)) as exchange_rate,
    ranked.is_test,
    ranked.is_cancelled,
    ranked.cancelled_at,
    ranked.ordered_at,
    {{ local_date('ranked.ordered_at') }} as ordered_on,
    ranked.known_at
from ranked
left join rates
    on
        ranked.currency = rates.currency
        and {{ local_date('ranked.ordered_at') }} >= rates.valid_from
        and ({{ local_date('ranked.ordered_at') }} < rates.valid_until or rates.valid_until is null)
where ranked.position = 1
{%- endmacro -%}


{#-
    Every delivered line with its order and the first rule that takes it out. `lines` has the columns of stg_shop__order_lines,
    `orders` those of int_orders__current, `products` those of int_products__classified.
-#}
{%- macro judged_lines(lines, orders, products) -%}
-- a later delivery of the same line replaces the earlier one
with versioned as (
    select
        delivered.*,
        row_number() over (
            partition by delivered.order_id, delivered.line_number
            order by delivered.loaded_at desc nulls last, delivered.load_id desc, delivered.row_number desc
        ) as version_position
    from {{ lines }} as delivered
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
)

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
    cast(repeated.unit_price * coalesce(orders.exchange_rate, 1) as numeric(18, 4)) as unit_price,
    orders.currency,
    orders.ordered_at,
    orders.ordered_on,
    -- a line is known once its order is too
    greatest(orders.known_at, repeated.known_at) as known_at,
    -- the first rule that holds
    case
        when repeated.version_position > 1 then 'superseded'
        when orders.order_id is null then 'order_unknown'
        when repeated.repeat_position > 1 then 'exact_duplicate'
        when orders.is_test then 'test_order'
        when orders.is_cancelled then 'cancelled_order'
        when not products.is_product then 'not_a_product'
        when not coalesce(cast(repeated.unit_price * coalesce(orders.exchange_rate, 1) as numeric(18, 4)) > 0, false)
            then 'price_not_positive'
        when orders.order_type = 'sale' and not coalesce(repeated.quantity > 0, false) then 'quantity_not_positive'
        when orders.order_type = 'return' and not coalesce(repeated.quantity < 0, false) then 'quantity_not_negative'
    end as excluded_reason
from repeated
left join {{ orders }} as orders on repeated.order_id = orders.order_id
left join {{ products }} as products on repeated.product_id = products.product_id
{%- endmacro -%}


{#-
    Returned units assigned to earlier sold ones: (return_line_id, order_line_id, returned_at, quantity, matched_by). `lines` has the
    columns of int_orders__lines.
-#}
{%- macro matched_returns(lines) -%}
with usable as (
    select
        judged.order_line_id as line_id,
        judged.order_id,
        judged.line_number,
        judged.original_order_id,
        judged.identifier_type,
        judged.identifier_value,
        judged.product_id,
        judged.ordered_at as happened_at,
        judged.order_type = 'return' as is_return,
        abs(judged.quantity) as quantity
    from {{ lines }} as judged
    where judged.excluded_reason is null
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

{{ match_returns('fifo', 'fifo_movements') }}

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
{%- endmacro -%}
