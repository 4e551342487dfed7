with predictions as (

    select * from {{ source('ml', 'send_time_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

-- a prediction from the future is a leak, an old one no longer a prediction
current_predictions as (

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

final as (

    select
        profile_id,
        best_hour,
        best_weekday,
        send_hour,
        is_randomized,
        p_click,
        p_click_population,
        n_sends,
        n_clicks,
        model_version,
        trained_at,
        as_of
    from current_predictions
    where recency = 1

)

select * from final
