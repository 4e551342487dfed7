{%- set days = var('rfm_window_days') -%}

with features as (

    select * from {{ ref('profile_features') }}

),

cells as (

    select * from {{ ref('rfm_cells') }}

),

buyers as (

    select
        profile_id,
        as_of,
        recency_days,
        {{ feature('orders', days) }} as frequency,
        {{ feature('revenue', days) }} as monetary
    from features
    where {{ feature('orders', days) }} > 0

),

scored as (

    select
        *,
        {{ rfm_score('recency_days', reverse=true) }} as recency_score,
        {{ rfm_score('frequency') }} as frequency_score,
        {{ rfm_score('monetary') }} as monetary_score
    from buyers

),

final as (

    select
        scored.profile_id,
        scored.as_of,
        scored.recency_days,
        scored.frequency,
        scored.monetary,
        scored.recency_score,
        scored.frequency_score,
        scored.monetary_score,
        cast(scored.recency_score as {{ dbt.type_string() }})
        || cast(scored.frequency_score as {{ dbt.type_string() }})
        || cast(scored.monetary_score as {{ dbt.type_string() }}) as rfm_score,
        cells.rfm_cell
    from scored
    inner join cells
        on
            scored.recency_score = cells.recency_score
            and scored.frequency_score = cells.frequency_score
            and scored.monetary_score = cells.monetary_score

)

select * from final
