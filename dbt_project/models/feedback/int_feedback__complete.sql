{{ config(materialized='view') }}

with predictions as (

    select * from {{ source('ml', 'prediction_log') }}

),

successions as (

    select * from {{ ref('identity_successions') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

-- of the days that are over: more of the past is no news, and would be summed up again by every build
final as (

    select
        predictions.job,
        predictions.model_version,
        predictions.as_of_on,
        predictions.as_of,
        {{ add_hours('predictions.as_of', '24 * predictions.horizon_days') }} as horizon_ends_at,
        predictions.horizon_days,
        coalesce(successions.profile_id, predictions.profile_id) as profile_id,
        predictions.subject,
        predictions.rank,
        predictions.value
    from predictions
    cross join clock
    left join successions
        on predictions.profile_id = successions.former_profile_id
    where
        {{ add_hours('predictions.as_of', '24 * predictions.horizon_days') }} <= clock.as_of
        and {{ add_hours('predictions.as_of', '24 * (predictions.horizon_days + ' ~ var('outcome_days') ~ ')') }} > clock.as_of

)

select * from final
