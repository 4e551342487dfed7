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

current_predictions as (

    {{ newest_predictions('predictions', 'profiles', 'clock') }}

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

)

select * from final
