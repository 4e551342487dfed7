with recommendations as (

    select * from {{ ref('recommendations') }}

),

-- what the newsletter shows
mailed as (

    select * from recommendations
    where placement = 'email'

),

products as (

    select * from {{ ref('int_recommendations__products') }}

),

offered as (

    select
        product_id,
        popularity_rank
    from products
    where placement = 'email'

),

rungs as (

    select
        rung as exposed_by,
        product_id,
        as_of
    from mailed

    union all

    select
        'all' as exposed_by,
        product_id,
        as_of
    from mailed

),

kinds as (

    select
        exposed_by,
        as_of
    from rungs
    group by exposed_by, as_of

),

offers as (

    select
        exposed_by,
        product_id,
        count(*) as n_offers
    from rungs
    group by exposed_by, product_id

),

-- what is never offered is in it too
exposure as (

    select
        kinds.exposed_by,
        kinds.as_of,
        offered.product_id,
        offered.popularity_rank,
        coalesce(offers.n_offers, 0) as n_offers
    from kinds
    cross join offered
    left join offers
        on
            kinds.exposed_by = offers.exposed_by
            and offered.product_id = offers.product_id

),

ranked as (

    select
        *,
        count(*) over (partition by exposed_by) as n_products,
        row_number() over (
            partition by exposed_by
            order by n_offers desc nulls last, product_id asc nulls last
        ) as position
    from exposure

),

-- the top 1 %, and one product at least
spread as (

    select
        exposed_by,
        as_of,
        count(*) as n_products,
        count(case when n_offers > 0 then 1 end) as n_offered,
        cast(sum(n_offers) as bigint) as n_offers,
        {{ ratio('sum(case when position <= ceil(n_products / 100.0) then n_offers else 0 end)', 'sum(n_offers)') }}
            as top_share,
        {{ ratio('sum(case when popularity_rank <= ceil(n_products / 100.0) then n_offers else 0 end)', 'sum(n_offers)') }}
            as best_sellers_share,
        {{ ratio('sum((n_products + 1 - 2 * position) * n_offers)', 'count(*) * sum(n_offers)') }} as gini
    from ranked
    group by exposed_by, as_of

),

-- the popular rung is concentrated by what it is
final as (

    select
        *,
        exposed_by = 'personal' and top_share > {{ var('exposure_max_top_share') }} as is_concentrated
    from spread

)

select * from final
