with profiles as (

    select * from {{ ref('dim_profiles') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

candidates as (

    select * from {{ ref('int_recommendations__candidates') }}

),

-- who cannot be written to needs no recommendation
reachable as (

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

-- who did not agree to profiling gets no personal recommendation, and is none of those whom it is held back from
audience as (

    select
        profile_id,
        source,
        allows_profiling and not {{ is_drawn('profile_id') }} as is_personal,
        allows_profiling and {{ is_drawn('profile_id') }} as is_held_out
    from reachable

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
        is_personal,
        is_held_out
    from audience

    union all

    select
        audience.profile_id,
        placed.placement,
        audience.source,
        audience.is_personal,
        audience.is_held_out
    from audience
    inner join placed
        on audience.profile_id = placed.profile_id
    where audience.is_personal

)

select * from final
