{%- set pool = var('recommendation_pool') -%}
{%- set placements = recommendation_placements() -%}
{%- set valid_until = add_hours('clock.as_of', 24 * var('recommendation_valid_days')) -%}

with audience as (

    select * from {{ ref('int_recommendations__audience') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

products as (

    select * from {{ ref('int_recommendations__products') }}

),

own_products as (

    select * from {{ ref('int_recommendations__own_products') }}

),

rule_offers as (

    select * from {{ ref('int_recommendations__rule_offers') }}

),

candidates as (

    select * from {{ ref('int_recommendations__candidates') }}

),

top_categories as (

    select * from {{ ref('int_recommendations__top_categories') }}

),

newcomers as (

    select * from {{ ref('int_recommendations__newcomers') }}

),

by_rule as (

    select
        profile_id,
        placement,
        product_id,
        cast(1 as integer) as rung_order,
        rule_rank as rung_rank,
        cast(recent_orders as double precision) as score,
        reason,
        cast(null as {{ dbt.type_string() }}) as model_version,
        {{ local_midnight(add_days('until_on', 1)) }} as over_at
    from rule_offers

),

-- a boost lifts the score that goes with a rank: the model's order stays where nothing is boosted, whatever its scores are
levels as (

    select
        candidates.*,
        products.boost,
        min(candidates.score) over (
            partition by candidates.profile_id, candidates.placement
            order by candidates.rank asc nulls last, candidates.product_id asc nulls last
            rows between unbounded preceding and current row
        ) as level
    from candidates
    inner join audience
        on
            candidates.profile_id = audience.profile_id
            and candidates.placement = audience.placement
    inner join products
        on
            candidates.product_id = products.product_id
            and candidates.placement = products.placement
    where
        audience.is_personal
        and candidates.is_current

),

personal as (

    select
        profile_id,
        placement,
        product_id,
        cast(2 as integer) as rung_order,
        cast(row_number() over (
            partition by profile_id, placement
            order by
                case when level < 0 then level / boost else level * boost end desc nulls last,
                rank asc nulls last,
                product_id asc nulls last
        ) as bigint) as rung_rank,
        score,
        reason,
        model_version,
        cast(null as timestamp) as over_at
    from levels

),

by_category as (

    select
        audience.profile_id,
        audience.placement,
        products.product_id,
        cast(3 as integer) as rung_order,
        products.category_rank as rung_rank,
        cast(products.recent_orders as double precision) as score,
        'popular in ' || products.category as reason,
        cast(null as {{ dbt.type_string() }}) as model_version,
        cast(null as timestamp) as over_at
    from audience
    inner join top_categories
        on audience.profile_id = top_categories.profile_id
    inner join products
        on
            top_categories.category = products.category
            and audience.placement = products.placement
    where
        audience.is_personal
        and products.recent_orders > 0
        and products.category_rank <= {{ pool }}

),

own_counts as (

    select
        profile_id,
        count(*) as n_own,
        count(case when is_bought then 1 end) as n_bought
    from own_products
    group by profile_id

),

by_source as (

    select
        audience.profile_id,
        audience.placement,
        newcomers.product_id,
        cast(4 as integer) as rung_order,
        newcomers.newcomer_rank as rung_rank,
        cast(newcomers.n_buyers as double precision) as score,
        'popular with new customers from ' || newcomers.source as reason,
        cast(null as {{ dbt.type_string() }}) as model_version,
        cast(null as timestamp) as over_at
    from audience
    inner join newcomers
        on
            audience.source = newcomers.source
            and audience.placement = newcomers.placement
    left join own_counts
        on audience.profile_id = own_counts.profile_id
    where
        audience.is_personal
        and coalesce(own_counts.n_bought, 0) = 0
        and newcomers.newcomer_rank <= {{ pool }}

),

-- whoever has the best sellers already is offered the next, up to a bound that keeps the step linear
popular as (

    select
        audience.profile_id,
        audience.placement,
        products.product_id,
        cast(5 as integer) as rung_order,
        products.popularity_rank as rung_rank,
        cast(products.recent_orders as double precision) as score,
        'popular' as reason,
        cast(null as {{ dbt.type_string() }}) as model_version,
        cast(null as timestamp) as over_at
    from audience
    inner join products
        on
            audience.placement = products.placement
            and products.popularity_rank <= {{ 5 * pool }}
    left join own_counts
        on audience.profile_id = own_counts.profile_id
    where products.popularity_rank <= {{ pool }} + coalesce(own_counts.n_own, 0)

),

ladder as (

    select * from by_rule

    union all

    select * from personal

    union all

    select * from by_category

    union all

    select * from by_source

    union all

    select * from popular

),

eligible as (

    select
        ladder.*,
        products.category,
        row_number() over (
            partition by ladder.profile_id, ladder.placement, ladder.product_id
            order by ladder.rung_order asc nulls last, ladder.rung_rank asc nulls last
        ) as occurrence
    from ladder
    inner join products
        on
            ladder.product_id = products.product_id
            and ladder.placement = products.placement
    left join own_products
        on
            ladder.profile_id = own_products.profile_id
            and ladder.product_id = own_products.product_id
    where
        own_products.product_id is null
        or not (
            own_products.is_returned
            or own_products.is_bought_lately
            {%- for name, placement in placements.items() %}
            {%- for what in placement.get('leave_out', []) %}
            or (ladder.placement = '{{ name }}' and own_products.is_{{ what }})
            {%- endfor %}
            {%- endfor %}
        )

),

in_categories as (

    select
        *,
        row_number() over (
            partition by profile_id, placement, category
            order by rung_order asc nulls last, rung_rank asc nulls last, product_id asc nulls last
        ) as category_position
    from eligible
    where occurrence = 1

),

-- what exceeds the share of its category waits behind all that does not; what has no category exceeds none
ranked as (

    select
        *,
        row_number() over (
            partition by profile_id, placement
            order by
                case
                    when category is not null and category_position > {{ var('recommendation_max_per_category') }} then 1
                    else 0
                end asc,
                rung_order asc nulls last,
                rung_rank asc nulls last,
                product_id asc nulls last
        ) as position
    from in_categories

),

final as (

    select
        ranked.profile_id,
        ranked.placement,
        cast(ranked.position as integer) as rank,
        ranked.product_id,
        products.product_name,
        products.category,
        products.price,
        products.currency,
        products.product_url,
        products.image_url,
        case ranked.rung_order
            when 1 then 'rule' when 2 then 'personal' when 3 then 'category' when 4 then 'source' else 'popular'
        end as rung,
        audience.is_held_out,
        ranked.score,
        ranked.reason,
        ranked.model_version,
        clock.as_of,
        -- a rule's last day ends after as_of, but for the hour before a midnight that comes twice
        case
            when ranked.over_at > clock.as_of and ranked.over_at < {{ valid_until }} then ranked.over_at
            else {{ valid_until }}
        end as expires_at
    from ranked
    inner join products
        on
            ranked.product_id = products.product_id
            and ranked.placement = products.placement
    inner join audience
        on
            ranked.profile_id = audience.profile_id
            and ranked.placement = audience.placement
    cross join clock
    where
        ranked.position <= case ranked.placement
            {%- for name, placement in placements.items() %}
            when '{{ name }}' then {{ placement['n'] }}
            {%- endfor %}
        end

)

select * from final
