{%- set measures = ['bought', 'orders', 'net_revenue'] -%}
{%- set chance = 1.96 -%}

with holdout as (

    select * from {{ ref('recommendation_holdout') }}

),

successions as (

    select * from {{ ref('identity_successions') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

-- of the days that are over, as far back as other outcomes
complete as (

    select
        holdout.model_version,
        holdout.as_of_on,
        holdout.as_of,
        {{ add_hours('holdout.as_of', 24 * var('uplift_horizon_days')) }} as horizon_ends_at,
        holdout.profile_id as profile_id_then,
        coalesce(successions.profile_id, holdout.profile_id) as profile_id,
        holdout.is_held_out
    from holdout
    cross join clock
    left join successions
        on holdout.profile_id = successions.former_profile_id
    where
        {{ add_hours('holdout.as_of', 24 * var('uplift_horizon_days')) }} <= clock.as_of
        and {{ add_hours('holdout.as_of', 24 * (var('uplift_horizon_days') + var('outcome_days'))) }} > clock.as_of

),

-- Two profiles of that day may be one person now, and may have been of both groups. One of them counts, chosen by what the draw
-- does not know. Left out, such people would be missed more in the smaller group; and who becomes one profile often buys.
ordered as (

    select
        *,
        row_number() over (
            partition by as_of_on, profile_id
            order by case when profile_id_then = profile_id then 0 else 1 end asc, profile_id_then asc nulls last
        ) as position
    from complete

),

people as (

    select * from ordered
    where position = 1

),

spent as (

    select
        people.model_version,
        people.as_of_on,
        people.profile_id,
        people.is_held_out,
        cast(count(orders.order_id) as double precision) as orders,
        cast(case when count(orders.order_id) > 0 then 1 else 0 end as double precision) as bought,
        cast(coalesce(sum(orders.net_revenue), 0) as double precision) as net_revenue
    from people
    left join orders
        on
            people.profile_id = orders.profile_id
            and people.as_of <= orders.ordered_at
            and people.horizon_ends_at > orders.ordered_at
            and orders.is_purchase
    group by people.model_version, people.as_of_on, people.profile_id, people.is_held_out

),

days as (

    select
        model_version,
        as_of_on,
        count(case when not is_held_out then 1 end) as n_treated,
        count(case when is_held_out then 1 end) as n_held_out,
        {%- for measure in measures %}
        avg(case when not is_held_out then {{ measure }} end) as {{ measure }}_treated,
        avg(case when is_held_out then {{ measure }} end) as {{ measure }}_held_out,
        var_samp(case when not is_held_out then {{ measure }} end) as {{ measure }}_treated_variance,
        var_samp(case when is_held_out then {{ measure }} end) as {{ measure }}_held_out_variance,
        {%- endfor %}
        avg(bought) as buying_rate
    from spent
    group by model_version, as_of_on

),

measured as (

    {% for measure in measures %}
    select
        model_version,
        as_of_on,
        '{{ measure }}' as measure,
        n_treated,
        n_held_out,
        buying_rate,
        {{ measure }}_treated as treated,
        {{ measure }}_held_out as held_out,
        sqrt(
            {{ ratio(measure ~ '_treated_variance', 'n_treated') }} + {{ ratio(measure ~ '_held_out_variance', 'n_held_out') }}
        ) as standard_error
    from days
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

-- where nobody differs from anybody, chance has not shown yet what it does
told as (

    select
        model_version,
        as_of_on,
        measure,
        n_treated,
        n_held_out,
        treated,
        held_out,
        treated - held_out as uplift,
        case
            when standard_error > 0 and least(n_treated, n_held_out) * buying_rate >= {{ var('uplift_min_buyers') }}
                then standard_error
        end as standard_error
    from measured

),

final as (

    select
        *,
        uplift - {{ chance }} * standard_error as uplift_low,
        uplift + {{ chance }} * standard_error as uplift_high,
        coalesce(uplift + {{ chance }} * standard_error < 0, false) as is_harmful
    from told

)

select * from final
