{%- set pool = var('recommendation_pool') -%}

with profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

products as (

    select * from {{ ref('int_recommendations__products') }}

),

top_categories as (

    select * from {{ ref('int_recommendations__top_categories') }}

),

candidates as (

    select * from {{ source('ml', 'recommendation_candidates') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

lines as (

    select * from {{ ref('int_orders__lines') }}

),

identifier_profiles as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

-- what somebody brought back, whether or not a sale was found for it (it may be older than the data, or somebody else's),
-- and what was taken back of their orders, whoever brought it
sent_back as (

    select
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

    union all

    select
        profile_id,
        product_id
    from order_lines
    where
        profile_id is not null
        and last_returned_at is not null

),

returned as (

    select distinct
        profile_id,
        product_id
    from sent_back

),

-- who cannot be written to needs no recommendation; who did not agree to profiling gets no personal one
audience as (

    select
        profiles.profile_id,
        coalesce(consent.state = 'granted', false) as allows_profiling
    from profiles
    left join consent
        on
            profiles.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'profiling'
    where profiles.email is not null

),

-- a prediction from the future is a leak, an old one no longer a prediction
personal as (

    select
        candidates.profile_id,
        candidates.product_id,
        cast(1 as integer) as rung_order,
        cast(candidates.rank as bigint) as rung_rank,
        candidates.score,
        candidates.reason,
        candidates.model_version
    from candidates
    inner join audience
        on candidates.profile_id = audience.profile_id
    cross join clock
    where
        audience.allows_profiling
        and candidates.as_of <= clock.as_of
        and candidates.as_of > {{ add_hours('clock.as_of', -24 * var('prediction_max_age_days')) }}

),

by_category as (

    select
        top_categories.profile_id,
        products.product_id,
        cast(2 as integer) as rung_order,
        products.category_rank as rung_rank,
        cast(products.recent_orders as double precision) as score,
        'popular in ' || products.category as reason,
        cast(null as {{ dbt.type_string() }}) as model_version
    from top_categories
    inner join audience
        on top_categories.profile_id = audience.profile_id
    inner join products
        on top_categories.category = products.category
    where
        audience.allows_profiling
        and products.recent_orders > 0
        and products.category_rank <= {{ pool }}

),

popular as (

    select
        audience.profile_id,
        products.product_id,
        cast(3 as integer) as rung_order,
        products.popularity_rank as rung_rank,
        cast(products.recent_orders as double precision) as score,
        'popular' as reason,
        cast(null as {{ dbt.type_string() }}) as model_version
    from audience
    cross join products
    where products.popularity_rank <= {{ pool }}

),

ladder as (

    select * from personal

    union all

    select * from by_category

    union all

    select * from popular

),

eligible as (

    select
        ladder.*,
        row_number() over (
            partition by ladder.profile_id, ladder.product_id
            order by ladder.rung_order asc nulls last, ladder.rung_rank asc nulls last
        ) as occurrence
    from ladder
    inner join products
        on ladder.product_id = products.product_id
    left join returned
        on
            ladder.profile_id = returned.profile_id
            and ladder.product_id = returned.product_id
    where returned.product_id is null

),

ranked as (

    select
        *,
        row_number() over (
            partition by profile_id
            order by rung_order asc nulls last, rung_rank asc nulls last, product_id asc nulls last
        ) as position
    from eligible
    where occurrence = 1

),

final as (

    select
        ranked.profile_id,
        cast(ranked.position as integer) as rank,
        ranked.product_id,
        products.product_name,
        products.price,
        products.currency,
        products.product_url,
        products.image_url,
        case ranked.rung_order when 1 then 'personal' when 2 then 'category' else 'popular' end as rung,
        ranked.score,
        ranked.reason,
        ranked.model_version,
        clock.as_of,
        {{ add_hours('clock.as_of', 24 * var('recommendation_valid_days')) }} as expires_at
    from ranked
    inner join products
        on ranked.product_id = products.product_id
    cross join clock
    where ranked.position <= 3

)

select * from final
