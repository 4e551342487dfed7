with predictions as (

    select * from {{ source('ml', 'engagement_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

-- a prediction from the future is a leak, an old one no longer a prediction
ranked_predictions as (

    select
        predictions.*,
        row_number() over (
            partition by predictions.profile_id
            order by
                predictions.as_of desc nulls last,
                predictions.trained_at desc nulls last,
                predictions.model_version desc nulls last
        ) as recency
    from predictions
    inner join profiles
        on predictions.profile_id = profiles.profile_id
    cross join clock
    where
        predictions.as_of <= clock.as_of
        and predictions.as_of > {{ add_hours('clock.as_of', -24 * var('prediction_max_age_days')) }}

),

-- equal probabilities are in the same tenth, so that a tenth may be larger or empty
placed as (

    select
        *,
        {%- for measure in ['open', 'click'] %}
        rank() over (order by p_{{ measure }} asc) - 1 as n_less_{{ measure }},
        {%- endfor %}
        count(*) over () as n_people
    from ranked_predictions
    where recency = 1

),

final as (

    select
        profile_id,
        p_open,
        p_click,
        {%- for measure in ['open', 'click'] %}
        cast(1 + floor(10 * {{ ratio('n_less_' ~ measure, 'n_people') }}) as integer) as {{ measure }}_decile,
        {%- endfor %}
        model_version,
        trained_at,
        as_of
    from placed

)

select * from final
