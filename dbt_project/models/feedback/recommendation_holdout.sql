{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['as_of']) }}",
        "{{ take_back_inserts('as_of_on', at=as_of_on()) }}",
        "{{ forget_through('as_of', add_hours(as_of(), -24 * (var('uplift_horizon_days') + var('outcome_days')))) }}",
    ],
) }}

with audience as (

    select * from {{ ref('int_recommendations__audience') }}

),

candidates as (

    select * from {{ ref('int_recommendations__candidates') }}

),

recommendations as (

    select * from {{ ref('recommendations') }}

),

-- asks nothing that depends on the draw, so that both groups are alike
compared as (

    select
        audience.profile_id,
        audience.is_held_out,
        max(candidates.model_version) as model_version
    from audience
    inner join candidates
        on
            audience.profile_id = candidates.profile_id
            and audience.placement = candidates.placement
    where
        audience.placement = 'email'
        and (audience.is_personal or audience.is_held_out)
        and candidates.is_current
    group by audience.profile_id, audience.is_held_out

),

served as (

    select
        profile_id,
        count(*) as n_personal
    from recommendations
    where
        placement = 'email'
        and rung = 'personal'
    group by profile_id

),

final as (

    select
        {{ as_of_on() }} as as_of_on,
        compared.profile_id,
        compared.model_version,
        compared.is_held_out,
        coalesce(served.n_personal, 0) as n_personal,
        {{ as_of() }} as as_of
    from compared
    left join served
        on compared.profile_id = served.profile_id
    where {{ holdout_share() }} > 0

)

select * from final
