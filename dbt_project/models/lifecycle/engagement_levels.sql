with features as (

    select * from {{ ref('profile_features') }}

),

final as (

    select
        profile_id,
        as_of,
        case
            when last_human_activity_at is null then 'never'
            when days_since_human_activity >= {{ var('engaged_within_days') }} then 'dormant'
            when
                days_since_human_activity < {{ var('highly_engaged_within_days') }}
                and engagement_score >= {{ var('highly_engaged_min_score') }}
                then 'highly_engaged'
            else 'active'
        end as engagement_level,
        engagement_score,
        last_human_activity_at
    from features

)

select * from final
