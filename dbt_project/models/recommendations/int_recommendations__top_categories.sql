with products as (

    select * from {{ ref('dim_products') }}

),

web_events as (

    select * from {{ ref('fct_web_events') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

interests as (

    select * from {{ ref('profile_interests') }}

),

-- a purchase says more about a person than a view, what they do more than what they once stated
interactions as (

    select
        profile_id,
        product_id,
        1 as weight
    from web_events
    where
        event_name = 'Product Viewed'
        and occurred_on > {{ add_days(as_of_on(), -1 * var('taste_window_days')) }}

    union all

    select
        profile_id,
        product_id,
        {{ var('taste_purchase_weight') }} as weight
    from order_lines
    where
        net_quantity > 0
        and ordered_on > {{ add_days(as_of_on(), -1 * var('taste_window_days')) }}

),

categories as (

    select distinct category
    from products
    where category is not null

),

tastes as (

    select
        interactions.profile_id,
        products.category,
        {{ var('taste_view_weight') }} * interactions.weight as weight
    from interactions
    inner join products
        on interactions.product_id = products.product_id
    where
        interactions.profile_id is not null
        and products.category is not null

    union all

    select
        interests.profile_id,
        categories.category,
        1 as weight
    from interests
    inner join categories
        on lower(trim(interests.interest)) = lower(trim(categories.category))

),

weighted as (

    select
        profile_id,
        category,
        sum(weight) as weight
    from tastes
    group by profile_id, category

),

ranked as (

    select
        profile_id,
        category,
        cast(weight as bigint) as weight,
        row_number() over (
            partition by profile_id
            order by weight desc nulls last, category asc nulls last
        ) as category_rank
    from weighted

),

final as (

    select
        profile_id,
        category,
        weight
    from ranked
    where category_rank = 1

)

select * from final
