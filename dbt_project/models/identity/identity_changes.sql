{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['changed_at']) }}",
        "{{ take_back_inserts('changed_at') }}",
    ],
) }}

with registry as (
    select * from {{ ref('identity_registry') }}
),

edges as (
    select * from {{ ref('int_identity__edges') }}
),

splits as (
    select * from {{ ref('identity_splits') }}
),

clock as (
    select * from {{ source('control', 'clock') }}
),

now_of as (
    select
        registry.identifier_type,
        registry.identifier_value,
        registry.profile_id
    from registry
    where registry.assigned_until is null
),

-- as it was before this build: what was closed by it, and what was there and stayed
before_of as (
    select
        registry.identifier_type,
        registry.identifier_value,
        registry.profile_id
    from registry
    cross join clock
    where
        registry.assigned_until = clock.as_of
        or (registry.assigned_until is null and registry.assigned_at < clock.as_of)
),

moved as (
    select
        before_of.profile_id as before_profile_id,
        now_of.profile_id as after_profile_id,
        count(*) as n_identifiers
    from before_of
    inner join now_of
        on
            before_of.identifier_type = now_of.identifier_type
            and before_of.identifier_value = now_of.identifier_value
    where before_of.profile_id <> now_of.profile_id
    group by before_of.profile_id, now_of.profile_id
),

living as (
    select distinct now_of.profile_id
    from now_of
),

-- how many of the earlier profiles a present one is made of
sources_of as (
    select
        now_of.profile_id,
        count(distinct before_of.profile_id) as n_before
    from before_of
    inner join now_of
        on
            before_of.identifier_type = now_of.identifier_type
            and before_of.identifier_value = now_of.identifier_value
    group by now_of.profile_id
),

-- into how many present ones an earlier profile went
parts_of as (
    select
        before_of.profile_id,
        count(distinct now_of.profile_id) as n_after
    from before_of
    inner join now_of
        on
            before_of.identifier_type = now_of.identifier_type
            and before_of.identifier_value = now_of.identifier_value
    group by before_of.profile_id
),

-- the edges that hold together what was apart
joining as (
    select
        left_before.profile_id as before_profile_id,
        left_now.profile_id as after_profile_id,
        edges.sources,
        edges.tier,
        edges.left_type,
        edges.right_type,
        edges.first_seen_at
    from edges
    inner join before_of as left_before
        on edges.left_type = left_before.identifier_type and edges.left_value = left_before.identifier_value
    inner join now_of as left_now
        on edges.left_type = left_now.identifier_type and edges.left_value = left_now.identifier_value
    inner join now_of as right_now
        on edges.right_type = right_now.identifier_type and edges.right_value = right_now.identifier_value
    left join before_of as right_before
        on edges.right_type = right_before.identifier_type and edges.right_value = right_before.identifier_value
    where
        edges.is_active
        and left_now.profile_id = right_now.profile_id
        and left_before.profile_id <> left_now.profile_id
        and (right_before.profile_id is null or right_before.profile_id <> left_before.profile_id)
    union all
    select
        right_before.profile_id as before_profile_id,
        right_now.profile_id as after_profile_id,
        edges.sources,
        edges.tier,
        edges.left_type,
        edges.right_type,
        edges.first_seen_at
    from edges
    inner join before_of as right_before
        on edges.right_type = right_before.identifier_type and edges.right_value = right_before.identifier_value
    inner join now_of as right_now
        on edges.right_type = right_now.identifier_type and edges.right_value = right_now.identifier_value
    inner join now_of as left_now
        on edges.left_type = left_now.identifier_type and edges.left_value = left_now.identifier_value
    left join before_of as left_before
        on edges.left_type = left_before.identifier_type and edges.left_value = left_before.identifier_value
    where
        edges.is_active
        and left_now.profile_id = right_now.profile_id
        and right_before.profile_id <> right_now.profile_id
        and (left_before.profile_id is null or left_before.profile_id <> right_before.profile_id)
),

ranked_joining as (
    select
        joining.*,
        row_number() over (
            partition by joining.before_profile_id, joining.after_profile_id
            order by
                -- what is attached came along: a telephone joins nobody, the name beside it does
                joining.tier desc,
                joining.first_seen_at desc nulls last,
                joining.left_type asc,
                joining.right_type asc,
                joining.sources asc
        ) as position
    from joining
),

-- the limits and rules that hold apart what was together
parting as (
    select
        left_before.profile_id as before_profile_id,
        splits.limit_kind,
        splits.limit_name
    from splits
    inner join before_of as left_before
        on splits.left_type = left_before.identifier_type and splits.left_value = left_before.identifier_value
    inner join before_of as right_before
        on
            splits.right_type = right_before.identifier_type
            and splits.right_value = right_before.identifier_value
            and left_before.profile_id = right_before.profile_id
),

ranked_parting as (
    select
        parting.*,
        row_number() over (
            partition by parting.before_profile_id
            order by parting.limit_kind asc, parting.limit_name asc
        ) as position
    from parting
),

kinds as (
    select
        moved.*,
        case
            when parts_of.n_after > 1 then 'split'
            when sources_of.n_before > 1 then 'merge'
            else 'rekey'
        end as kind
    from moved
    inner join parts_of on moved.before_profile_id = parts_of.profile_id
    inner join sources_of on moved.after_profile_id = sources_of.profile_id
),

final as (
    select
        clock.as_of as changed_at,
        kinds.before_profile_id,
        kinds.after_profile_id,
        kinds.kind,
        kinds.n_identifiers,
        living.profile_id is not null as is_before_alive,
        case
            when kinds.kind = 'split' and ranked_parting.limit_kind is not null then ranked_parting.limit_kind
            when ranked_joining.sources is not null then 'edge'
            else 'data_changed'
        end as cause,
        case
            when kinds.kind = 'split' and ranked_parting.limit_kind is not null then ranked_parting.limit_name
            when ranked_joining.sources is not null
                then ranked_joining.sources || ': ' || ranked_joining.left_type || ', ' || ranked_joining.right_type
        end as cause_detail
    from kinds
    cross join clock
    left join living on kinds.before_profile_id = living.profile_id
    left join ranked_joining
        on
            kinds.before_profile_id = ranked_joining.before_profile_id
            and kinds.after_profile_id = ranked_joining.after_profile_id
            and ranked_joining.position = 1
    left join ranked_parting
        on kinds.before_profile_id = ranked_parting.before_profile_id and ranked_parting.position = 1
)

select * from final
