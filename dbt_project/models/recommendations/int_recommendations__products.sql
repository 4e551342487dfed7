with products as (

    select * from {{ ref('dim_products') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

rules as (

    select * from {{ ref('int_recommendations__rule_products') }}

),

placements as (
    {% for name in recommendation_placements() %}
    select '{{ name }}' as placement
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

-- what nobody may be offered never enters a rung: not for sale, sold out, without price or name
offered as (

    select
        placements.placement,
        products.*
    from products
    cross join placements
    where
        products.is_product
        and products.is_in_stock
        and products.price > 0
        and products.product_name is not null

),

placed_rules as (

    select
        placements.placement,
        rules.kind,
        rules.product_id,
        rules.factor,
        row_number() over (
            partition by placements.placement, rules.kind, rules.product_id
            order by rules.rule_position asc nulls last, rules.rule_name asc nulls last
        ) as precedence
    from rules
    inner join placements
        on coalesce(rules.placement = placements.placement, true)
    where rules.role = 'offered'

),

sales as (

    select
        product_id,
        count(distinct case when ordered_on > {{ add_days(as_of_on(), -1 * var('popularity_window_days')) }} then order_id end)
            as recent_orders,
        count(distinct order_id) as all_orders
    from order_lines
    where net_quantity > 0
    group by product_id

),

popularity as (

    select
        offered.*,
        coalesce(boosts.factor, 1) as boost,
        coalesce(sales.recent_orders, 0) as recent_orders,
        coalesce(sales.all_orders, 0) as all_orders
    from offered
    left join sales
        on offered.product_id = sales.product_id
    left join placed_rules as exclusions
        on
            offered.placement = exclusions.placement
            and offered.product_id = exclusions.product_id
            and exclusions.kind = 'exclude'
            and exclusions.precedence = 1
    left join placed_rules as boosts
        on
            offered.placement = boosts.placement
            and offered.product_id = boosts.product_id
            and boosts.kind = 'boost'
            and boosts.precedence = 1
    where exclusions.product_id is null

),

final as (

    select
        placement,
        product_id,
        product_name,
        category,
        price,
        currency,
        product_url,
        image_url,
        cast(boost as double precision) as boost,
        cast(recent_orders as bigint) as recent_orders,
        cast(row_number() over (
            partition by placement
            order by recent_orders * boost desc nulls last, all_orders * boost desc nulls last, product_id asc nulls last
        ) as bigint) as popularity_rank,
        cast(row_number() over (
            partition by placement, category
            order by recent_orders * boost desc nulls last, all_orders * boost desc nulls last, product_id asc nulls last
        ) as bigint) as category_rank
    from popularity

)

select * from final
