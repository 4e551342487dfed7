{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['transitioned_at']) }}",
        "{{ take_back_inserts('transitioned_at') }}",
        "{{ follow_successions(['vocabulary', 'transitioned_at']) }}",
    ],
) }}

-- depends_on: {{ ref('identity_successions') }}

with stages as (

    select * from {{ ref('lifecycle_stages') }}

),

current_stages as (

    select
        profile_id,
        as_of,
        'customer_stage' as vocabulary,
        customer_stage as stage
    from stages

    union all

    select
        profile_id,
        as_of,
        'journey_stage' as vocabulary,
        journey_stage as stage
    from stages

),

{%- if is_incremental() %}

recorded as (

    select
        profile_id,
        vocabulary,
        to_stage,
        row_number() over (
            partition by profile_id, vocabulary
            order by transitioned_at desc nulls last
        ) as recency
    from {{ this }}

),

last_stages as (

    select
        profile_id,
        vocabulary,
        to_stage as stage
    from recorded
    where recency = 1

),
{%- else %}

last_stages as (

    select
        profile_id,
        vocabulary,
        stage
    from current_stages
    where false

),
{%- endif %}

final as (

    select
        current_stages.profile_id,
        current_stages.vocabulary,
        last_stages.stage as from_stage,
        current_stages.stage as to_stage,
        current_stages.as_of as transitioned_at
    from current_stages
    left join last_stages
        on
            current_stages.profile_id = last_stages.profile_id
            and current_stages.vocabulary = last_stages.vocabulary
    where last_stages.stage is null or current_stages.stage <> last_stages.stage

)

select * from final
