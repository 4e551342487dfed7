{{ config(materialized='view') }}

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

-- a purchase says more about a person than a view
acts as (

    select
        profile_id,
        product_id,
        {{ var('taste_view_weight') }} as weight
    from web_events
    where
        event_name = 'Product Viewed'
        and occurred_on > {{ add_days(as_of_on(), -1 * var('taste_window_days')) }}

    union all

    select
        profile_id,
        product_id,
        {{ var('taste_purchase_weight') }} * {{ var('taste_view_weight') }} as weight
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

final as (

    select
        acts.profile_id,
        products.category,
        acts.product_id,
        cast(acts.weight as bigint) as weight
    from acts
    inner join products
        on acts.product_id = products.product_id
    where
        acts.profile_id is not null
        and products.category is not null

    union all

    -- what they do says more than what they once stated
    select
        interests.profile_id,
        categories.category,
        cast(null as {{ dbt.type_string() }}) as product_id,
        cast(1 as bigint) as weight
    from interests
    inner join categories
        on lower(trim(interests.interest)) = lower(trim(categories.category))

)

select * from final
