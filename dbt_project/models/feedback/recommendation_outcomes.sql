with predictions as (

    select * from {{ ref('int_feedback__complete') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

features as (

    select * from {{ ref('profile_features') }}

),

offered as (

    select
        *,
        {{ local_date(add_microseconds('as_of', -1)) }} as local_on
    from predictions
    where job = 'recommendations'

),

days as (

    select distinct
        as_of_on,
        local_on,
        as_of,
        horizon_ends_at
    from offered

),

purchases as (

    select
        order_lines.profile_id,
        order_lines.product_id,
        order_lines.order_id,
        order_lines.ordered_at,
        order_lines.ordered_on
    from order_lines
    inner join products
        on order_lines.product_id = products.product_id
    where
        order_lines.net_quantity > 0
        and products.is_product

),

-- what everybody would have been offered on that day by popularity alone
day_sales as (

    select
        product_id,
        ordered_on,
        count(distinct order_id) as n_orders
    from purchases
    group by product_id, ordered_on

),

popularity as (

    select
        days.as_of_on,
        day_sales.product_id,
        row_number() over (
            partition by days.as_of_on
            order by sum(day_sales.n_orders) desc nulls last, day_sales.product_id asc nulls last
        ) as position
    from days
    inner join day_sales
        on
            days.local_on >= day_sales.ordered_on
            and {{ add_days('days.local_on', -1 * var('popularity_window_days')) }} < day_sales.ordered_on
    group by days.as_of_on, day_sales.product_id

),

popular as (

    select
        as_of_on,
        product_id
    from popularity
    where position <= 3

),

people as (

    select
        model_version,
        as_of_on,
        as_of,
        horizon_ends_at,
        profile_id
    from offered
    group by model_version, as_of_on, as_of, horizon_ends_at, profile_id

),

bought as (

    select distinct
        people.model_version,
        people.as_of_on,
        people.profile_id,
        purchases.product_id
    from people
    inner join purchases
        on
            people.profile_id = purchases.profile_id
            and people.as_of <= purchases.ordered_at
            and people.horizon_ends_at > purchases.ordered_at

),

judged as (

    select
        bought.model_version,
        bought.as_of_on,
        bought.profile_id,
        max(case when offered.subject is null then 0 else 1 end) as is_hit,
        max(case when popular.product_id is null then 0 else 1 end) as is_popular_hit
    from bought
    left join offered
        on
            bought.model_version = offered.model_version
            and bought.as_of_on = offered.as_of_on
            and bought.profile_id = offered.profile_id
            and bought.product_id = offered.subject
    left join popular
        on
            bought.as_of_on = popular.as_of_on
            and bought.product_id = popular.product_id
    group by bought.model_version, bought.as_of_on, bought.profile_id

),

described as (

    select
        people.model_version,
        people.as_of_on,
        people.as_of,
        profiles.country,
        profiles.source,
        features.first_purchase_at,
        judged.is_hit,
        judged.is_popular_hit
    from people
    left join judged
        on
            people.model_version = judged.model_version
            and people.as_of_on = judged.as_of_on
            and people.profile_id = judged.profile_id
    left join profiles
        on people.profile_id = profiles.profile_id
    -- as of that day: who bought for the first time since then had never bought
    left join features
        on
            people.profile_id = features.profile_id
            and people.as_of > features.first_purchase_at

),

grouped as (

    {% for dimension, group_name in people_groups('described', 'described.as_of').items() %}
    select
        model_version,
        as_of_on,
        is_hit,
        is_popular_hit,
        '{{ dimension }}' as dimension,
        {{ group_name }} as group_name
    from described
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

final as (

    select
        model_version,
        as_of_on,
        dimension,
        group_name,
        count(*) as n_people,
        count(is_hit) as n_buyers,
        cast(coalesce(sum(is_hit), 0) as bigint) as n_hits,
        {{ ratio('sum(is_hit)', 'count(is_hit)') }} as hit_rate,
        {{ ratio('sum(is_popular_hit)', 'count(is_hit)') }} as popular_hit_rate
    from grouped
    group by model_version, as_of_on, dimension, group_name

)

select * from final
