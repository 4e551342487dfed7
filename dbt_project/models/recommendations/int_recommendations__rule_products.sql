with rules as (

    select * from {{ source('ml', 'recommendation_rules') }}

),

items as (

    select * from {{ source('ml', 'recommendation_rule_items') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

-- on the local day on which as_of lies; both ends count
in_force as (

    select rules.*
    from rules
    cross join clock
    where
        coalesce(rules.from_on <= {{ local_date('clock.as_of') }}, true)
        and coalesce(rules.until_on >= {{ local_date('clock.as_of') }}, true)

),

-- rules are composed (NFC) when they are read; the catalogue is as it was delivered
named as (

    select
        items.rule_name,
        items.role,
        items.position,
        products.product_id
    from items
    inner join products
        on items.product_id = {{ composed('products.product_id') }}

    union all

    select
        items.rule_name,
        items.role,
        items.position,
        products.product_id
    from items
    inner join products
        on {{ fold_case(trim_blanks('items.category')) }} = {{ fold_case(trim_blanks(composed('products.category'))) }}

    union all

    -- a rule that names nothing is about everything
    select
        rules.rule_name,
        'offered' as role,
        cast(1 as bigint) as position,
        products.product_id
    from rules
    cross join products
    where rules.n_items = 0

),

-- a product may be named by itself and by its category
resolved as (

    select
        rule_name,
        role,
        product_id,
        min(position) as position
    from named
    group by rule_name, role, product_id

),

final as (

    select
        in_force.rule_name,
        in_force.kind,
        resolved.role,
        resolved.product_id,
        in_force.placement,
        in_force.until_on,
        in_force.position as rule_position,
        resolved.position as item_position,
        in_force.factor,
        in_force.reason,
        in_force.within_days
    from in_force
    inner join resolved
        on in_force.rule_name = resolved.rule_name
    inner join products
        on resolved.product_id = products.product_id
    where
        (in_force.price_below is null and in_force.price_above is null)
        or products.price < in_force.price_below
        or products.price > in_force.price_above

)

select * from final
