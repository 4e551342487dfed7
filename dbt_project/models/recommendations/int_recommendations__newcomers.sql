{%- set settings = var('newcomers') -%}

with profiles as (

    select * from {{ ref('dim_profiles') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

products as (

    select * from {{ ref('int_recommendations__products') }}

),

kept_lines as (

    select
        order_lines.profile_id,
        order_lines.product_id,
        order_lines.ordered_on,
        profiles.source,
        min(order_lines.ordered_on) over (partition by order_lines.profile_id) as first_on
    from order_lines
    inner join profiles
        on order_lines.profile_id = profiles.profile_id
    where
        order_lines.net_quantity > 0
        and profiles.source is not null

),

-- what few have bought tells of them, not of those who come from there
first_purchases as (

    select
        source,
        product_id,
        count(distinct profile_id) as n_buyers
    from kept_lines
    where
        ordered_on = first_on
        and first_on > {{ add_days(as_of_on(), -1 * settings['window_days']) }}
    group by source, product_id
    having count(distinct profile_id) >= {{ settings['min_buyers'] }}

),

final as (

    select
        products.placement,
        first_purchases.source,
        first_purchases.product_id,
        cast(first_purchases.n_buyers as bigint) as n_buyers,
        cast(row_number() over (
            partition by products.placement, first_purchases.source
            order by first_purchases.n_buyers * products.boost desc nulls last, products.popularity_rank asc nulls last
        ) as bigint) as newcomer_rank
    from first_purchases
    inner join products
        on first_purchases.product_id = products.product_id

)

select * from final
