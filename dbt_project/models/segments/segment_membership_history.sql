{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['profile_id', 'segment_name', 'entered_at'],
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['entered_at', 'left_at']) }}",
        "{{ take_back_inserts('entered_at') }}",
        "{{ take_back_and_follow_stays(['segment_name'], 'entered_at', 'left_at') }}",
    ],
) }}

-- depends_on: {{ ref('identity_successions') }}
{%- set bucket = row_fingerprint(['profile_id']) ~ ' % 16384' %}

with memberships as {{ in_place() }} (

    select * from {{ ref('segment_memberships') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

{%- if is_incremental() %}

open_memberships as {{ in_place() }} (

    select
        profile_id,
        segment_name,
        entered_at,
        coalesce(reason, 'build') as reason
    from {{ this }}
    where left_at is null

),

-- a part of a segment that is as it was needs no comparing person by person, and from one build to the next most are
parts_now as (

    select
        segment_name,
        {{ bucket }} as bucket,
        sum({{ row_fingerprint(['profile_id']) }}) as fingerprint
    from memberships
    group by segment_name, {{ bucket }}

),

parts_before as (

    select
        segment_name,
        {{ bucket }} as bucket,
        sum({{ row_fingerprint(['profile_id']) }}) as fingerprint
    from open_memberships
    group by segment_name, {{ bucket }}

),

moved as (

    select
        coalesce(parts_now.segment_name, parts_before.segment_name) as segment_name,
        coalesce(parts_now.bucket, parts_before.bucket) as bucket
    from parts_now
    full outer join parts_before
        on parts_now.segment_name = parts_before.segment_name and parts_now.bucket = parts_before.bucket
    where parts_now.fingerprint is distinct from parts_before.fingerprint

),

now_in as (

    select
        memberships.profile_id,
        memberships.segment_name,
        memberships.as_of
    from memberships
    inner join moved
        on
            memberships.segment_name = moved.segment_name
            and {{ row_fingerprint(['memberships.profile_id']) }} % 16384 = moved.bucket

),

were_in as (

    select
        open_memberships.profile_id,
        open_memberships.segment_name,
        open_memberships.entered_at,
        open_memberships.reason
    from open_memberships
    inner join moved
        on
            open_memberships.segment_name = moved.segment_name
            and {{ row_fingerprint(['open_memberships.profile_id']) }} % 16384 = moved.bucket

),
{%- else %}

now_in as (

    select * from memberships

),

were_in as (

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
        now_in.profile_id,
        now_in.segment_name,
        now_in.as_of as entered_at,
        cast(null as timestamp) as left_at,
        'build' as reason
    from now_in
    left join were_in on now_in.profile_id = were_in.profile_id and now_in.segment_name = were_in.segment_name
    where were_in.profile_id is null

),

departed as (

    select
        were_in.profile_id,
        were_in.segment_name,
        were_in.entered_at,
        clock.as_of as left_at,
        were_in.reason
    from were_in
    cross join clock
    left join now_in on were_in.profile_id = now_in.profile_id and were_in.segment_name = now_in.segment_name
    where now_in.profile_id is null

),

final as (

    select * from entered

    union all

    select * from departed

)

select * from final
