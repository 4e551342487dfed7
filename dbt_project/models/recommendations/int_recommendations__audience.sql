with profiles as (

    select * from {{ ref('dim_profiles') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

candidates as (

    select * from {{ ref('int_recommendations__candidates') }}

),

-- who cannot be written to needs no recommendation; who did not agree to profiling gets no personal one
audience as (

    select
        profiles.profile_id,
        profiles.source,
        coalesce(consent.state = 'granted', false) as allows_profiling
    from profiles
    left join consent
        on
            profiles.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'profiling'
    where profiles.email is not null

),

-- another placement than email is for whom the model has something there
placed as (

    select distinct
        profile_id,
        placement
    from candidates
    where
        is_current
        and placement in (
            {%- for name in recommendation_placements() %}
            '{{ name }}'{{ ',' if not loop.last }}
            {%- endfor %}
        )
        and placement <> 'email'

),

final as (

    select
        profile_id,
        'email' as placement,
        source,
        allows_profiling
    from audience

    union all

    select
        audience.profile_id,
        placed.placement,
        audience.source,
        audience.allows_profiling
    from audience
    inner join placed
        on audience.profile_id = placed.profile_id
    where audience.allows_profiling

)

select * from final
