with predictions as (

    select * from {{ source('ml', 'churn_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

lifetime_values as (

    select * from {{ ref('lifetime_values') }}

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
        current_predictions.profile_id,
        current_predictions.churn_probability,
        current_predictions.churn_band,
        current_predictions.reason_1,
        current_predictions.reason_2,
        current_predictions.reason_3,
        cast(
            current_predictions.churn_probability * lifetime_values.expected_value_365d as numeric(18, 2)
        ) as value_at_stake,
        current_predictions.model_version,
        current_predictions.trained_at,
        current_predictions.as_of
    from current_predictions
    left join lifetime_values
        on current_predictions.profile_id = lifetime_values.profile_id
    where current_predictions.recency = 1

)

select * from final
