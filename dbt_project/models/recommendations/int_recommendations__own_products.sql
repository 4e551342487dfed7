with order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

lines as (

    select * from {{ ref('int_orders__lines') }}

),

identifier_profiles as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

web_events as (

    select * from {{ ref('fct_web_events') }}

),

intervals as (

    select * from {{ ref('int_recommendations__intervals') }}

),

bought as (

    select
        profile_id,
        product_id,
        max(ordered_at) as ordered_at,
        -- what went back entirely was not bought
        max(case when net_quantity > 0 then ordered_on end) as bought_on,
        max(case when last_returned_at is not null then 1 else 0 end) as is_taken_back
    from order_lines
    where profile_id is not null
    group by profile_id, product_id

),

-- what somebody brought back, whether or not a sale was found for it: it may be older than the data, or somebody else's
brought_back as (

    select distinct
        identifier_profiles.profile_id,
        lines.product_id
    from lines
    inner join identifier_profiles
        on
            lines.identifier_type = identifier_profiles.identifier_type
            and lines.identifier_value = identifier_profiles.identifier_value
    where
        lines.order_type = 'return'
        and coalesce(lines.excluded_reason, 'price_not_positive') = 'price_not_positive'

),

added as (

    select
        profile_id,
        product_id,
        max(occurred_at) as added_at
    from web_events
    where
        event_name = 'Product Added'
        and profile_id is not null
        and product_id is not null
        and occurred_on > {{ add_days(as_of_on(), -1 * var('cart_days')) }}
    group by profile_id, product_id

),

known as (

    select
        profile_id,
        product_id
    from bought

    union distinct

    select
        profile_id,
        product_id
    from brought_back

    union distinct

    select
        profile_id,
        product_id
    from added

),

final as (

    select
        known.profile_id,
        known.product_id,
        bought.bought_on is not null as is_bought,
        -- within its natural interval, or of a kind that is bought once
        bought.bought_on is not null
        and (
            not coalesce(intervals.is_bought_again, true)
            or {{ days_between('bought.bought_on', as_of_on()) }} < coalesce(intervals.days, 0)
        ) as is_bought_lately,
        brought_back.product_id is not null or coalesce(bought.is_taken_back, 0) = 1 as is_returned,
        added.added_at is not null and coalesce(bought.ordered_at < added.added_at, true) as is_in_cart
    from known
    left join bought
        on
            known.profile_id = bought.profile_id
            and known.product_id = bought.product_id
    left join brought_back
        on
            known.profile_id = brought_back.profile_id
            and known.product_id = brought_back.product_id
    left join added
        on
            known.profile_id = added.profile_id
            and known.product_id = added.product_id
    left join intervals
        on known.product_id = intervals.product_id

)

select * from final
