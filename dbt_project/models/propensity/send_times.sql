with predictions as (

    select * from {{ source('ml', 'send_time_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

current_predictions as (

    {{ newest_predictions('predictions', 'profiles', 'clock') }}

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

)

select * from final
