{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['profile_id', 'segment_name', 'entered_at'],
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['entered_at', 'left_at']) }}",
        "{{ take_back_inserts('entered_at') }}",
        "{{ take_back_closings('left_at') }}",
        "{{ follow_successions(['segment_name', 'entered_at']) }}",
        "{{ keep_earliest_open(['profile_id', 'segment_name'], 'entered_at', 'left_at') }}",
    ],
) }}

-- depends_on: {{ ref('identity_successions') }}

with memberships as (

    select * from {{ ref('segment_memberships') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

{%- if is_incremental() %}

open_memberships as (

    select
        profile_id,
        segment_name,
        entered_at,
        coalesce(reason, 'build') as reason
    from {{ this }}
    where left_at is null

),
{%- else %}

open_memberships as (

    select
        profile_id,
        segment_name,
        as_of as entered_at,
        'build' as reason
    from memberships
    where false

),
{%- endif %}

entered as (

    select
        memberships.profile_id,
        memberships.segment_name,
        memberships.as_of as entered_at,
        cast(null as timestamp) as left_at,
        'build' as reason
    from memberships
    left join open_memberships
        on
            memberships.profile_id = open_memberships.profile_id
            and memberships.segment_name = open_memberships.segment_name
    where open_memberships.profile_id is null

),

departed as (

    select
        open_memberships.profile_id,
        open_memberships.segment_name,
        open_memberships.entered_at,
        clock.as_of as left_at,
        open_memberships.reason
    from open_memberships
    cross join clock
    left join memberships
        on
            open_memberships.profile_id = memberships.profile_id
            and open_memberships.segment_name = memberships.segment_name
    where memberships.profile_id is null

),

final as (

    select * from entered

    union all

    select * from departed

)

select * from final
