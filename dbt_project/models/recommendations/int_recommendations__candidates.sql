with candidates as (

    select * from {{ recommendation_candidates() }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

final as (

    select
        candidates.profile_id,
        candidates.placement,
        candidates.product_id,
        cast(candidates.rank as bigint) as rank,
        cast(candidates.score as double precision) as score,
        candidates.reason,
        candidates.model_version,
        candidates.as_of,
        -- a prediction from the future is a leak, an old one no longer a prediction
        candidates.as_of <= clock.as_of
        and candidates.as_of > {{ add_hours('clock.as_of', -24 * var('prediction_max_age_days')) }} as is_current
    from candidates
    cross join clock

)

select * from final
