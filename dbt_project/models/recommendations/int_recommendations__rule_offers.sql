with rules as (

    select * from {{ ref('int_recommendations__rule_products') }}

),

products as (

    select * from {{ ref('int_recommendations__products') }}

),

audience as (

    select * from {{ ref('int_recommendations__audience') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

names as (

    select * from {{ ref('dim_products') }}

),

-- of each rule, what it recommends at a placement: as listed, the more popular first within a category
offers as (

    select
        rules.rule_name,
        rules.rule_position,
        rules.reason,
        rules.until_on,
        products.placement,
        products.product_id,
        products.recent_orders,
        row_number() over (
            partition by rules.rule_name, products.placement
            order by rules.item_position asc nulls last, products.popularity_rank asc nulls last
        ) as offer_rank
    from rules
    inner join products
        on rules.product_id = products.product_id
    where
        rules.kind = 'recommend'
        and rules.role = 'offered'
        and coalesce(rules.placement = products.placement, true)

),

-- of each person and rule, the newest purchase that calls for it
triggers as (

    select
        order_lines.profile_id,
        rules.rule_name,
        order_lines.product_id,
        row_number() over (
            partition by order_lines.profile_id, rules.rule_name
            order by order_lines.ordered_at desc nulls last, order_lines.product_id asc nulls last
        ) as recency
    from order_lines
    inner join rules
        on order_lines.product_id = rules.product_id
    where
        rules.kind = 'recommend'
        and rules.role = 'bought'
        and order_lines.net_quantity > 0
        and order_lines.ordered_on > {{ add_days(as_of_on(), '-1 * rules.within_days') }}

),

candidates as (

    select
        audience.profile_id,
        audience.placement,
        offers.product_id,
        offers.recent_orders,
        offers.until_on,
        replace(offers.reason, '{product}', coalesce(names.product_name, names.product_id)) as reason,
        row_number() over (
            partition by audience.profile_id, audience.placement, offers.product_id
            order by offers.rule_position asc nulls last, offers.offer_rank asc nulls last
        ) as occurrence,
        row_number() over (
            partition by audience.profile_id, audience.placement
            order by offers.rule_position asc nulls last, offers.offer_rank asc nulls last
        ) as rule_rank
    from audience
    inner join triggers
        on audience.profile_id = triggers.profile_id
    inner join offers
        on
            triggers.rule_name = offers.rule_name
            and audience.placement = offers.placement
    inner join names
        on triggers.product_id = names.product_id
    where
        audience.is_personal
        and triggers.recency = 1
        and triggers.product_id <> offers.product_id
        and offers.offer_rank <= {{ var('recommendation_pool') }}

),

final as (

    select
        profile_id,
        placement,
        product_id,
        cast(rule_rank as bigint) as rule_rank,
        recent_orders,
        reason,
        until_on
    from candidates
    where occurrence = 1

)

select * from final
