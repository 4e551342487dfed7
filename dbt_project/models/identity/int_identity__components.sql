{{ config(materialized='components') }}

with edges as (
    select * from {{ ref('int_identity__edges') }}
    {{ within_region('left_key') }}
),

final as (
    select
        edges.left_key,
        edges.right_key,
        edges.strength
    from edges
    where edges.tier = 'bridge' and edges.is_active
)

select * from final
