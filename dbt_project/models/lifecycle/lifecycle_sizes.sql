{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['as_of']) }}",
        "{{ take_back_inserts('as_of_on', at=as_of_on()) }}",
    ],
) }}

with stages as (

    select * from {{ ref('lifecycle_stages') }}

),

scores as (

    select * from {{ ref('rfm_scores') }}

),

levels as (

    select * from {{ ref('engagement_levels') }}

),

counted as (

    select
        'customer_stage' as vocabulary,
        customer_stage as stage,
        as_of,
        count(*) as n_profiles
    from stages
    group by customer_stage, as_of

    union all

    select
        'journey_stage' as vocabulary,
        journey_stage as stage,
        as_of,
        count(*) as n_profiles
    from stages
    group by journey_stage, as_of

    union all

    select
        'engagement_level' as vocabulary,
        engagement_level as stage,
        as_of,
        count(*) as n_profiles
    from levels
    group by engagement_level, as_of

    union all

    select
        'rfm_cell' as vocabulary,
        rfm_cell as stage,
        as_of,
        count(*) as n_profiles
    from scores
    group by rfm_cell, as_of

),

final as (

    select
        {{ local_date(add_microseconds('as_of', -1)) }} as as_of_on,
        vocabulary,
        stage,
        as_of,
        n_profiles,
        {{ ratio('n_profiles', 'sum(n_profiles) over (partition by vocabulary)') }} as share
    from counted

)

select * from final
