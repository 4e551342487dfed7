{#-
    From when each identifier hung together with the one that its profile is called after: of all paths the one whose newest edge is
    the oldest. Unrolled; farther away than the rounds reach, not before the newest edge of the whole profile.
-#}
{%- set reach_rounds = 6 -%}

with registry as (
    select * from {{ ref('identity_registry') }}
),

identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
),

components as (
    select * from {{ ref('int_identity__components') }}
),

all_edges as (
    select * from {{ ref('int_identity__edges') }}
),

nodes as (
    select
        identifiers.node_key,
        registry.profile_id,
        identifiers.first_seen_at,
        {{ node_hash('identifiers.identifier_type', 'identifiers.identifier_value') }} = registry.profile_id as is_anchor
    from components
    inner join identifiers on components.node_key = identifiers.node_key
    inner join registry
        on
            identifiers.identifier_type = registry.identifier_type
            and identifiers.identifier_value = registry.identifier_value
            and registry.assigned_until is null
),

edges as (
    select
        all_edges.left_key as node_key,
        all_edges.right_key as neighbour_key,
        all_edges.first_seen_at as linked_at
    from all_edges
    where all_edges.tier = 'bridge' and all_edges.is_active
    union all
    select
        all_edges.right_key as node_key,
        all_edges.left_key as neighbour_key,
        all_edges.first_seen_at as linked_at
    from all_edges
    where all_edges.tier = 'bridge' and all_edges.is_active
),

-- an edge that the size limit took out dates nothing
inner_edges as (
    select
        edges.node_key,
        edges.neighbour_key,
        edges.linked_at,
        nodes.profile_id
    from edges
    inner join nodes on edges.node_key = nodes.node_key
    inner join nodes as neighbours
        on edges.neighbour_key = neighbours.node_key and nodes.profile_id = neighbours.profile_id
),

reached_0 as (
    select
        nodes.node_key,
        case when nodes.is_anchor then nodes.first_seen_at end as linked_at
    from nodes
),
{% for i in range(1, reach_rounds + 1) %}
relaxed_{{ i }} as (
    select
        inner_edges.node_key,
        min(greatest(inner_edges.linked_at, reached.linked_at)) as linked_at
    from inner_edges
    inner join reached_{{ i - 1 }} as reached on inner_edges.neighbour_key = reached.node_key
    where reached.linked_at is not null
    group by inner_edges.node_key
),

reached_{{ i }} as (
    select
        reached.node_key,
        case
            when relaxed.linked_at < reached.linked_at then relaxed.linked_at
            else coalesce(reached.linked_at, relaxed.linked_at)
        end as linked_at
    from reached_{{ i - 1 }} as reached
    left join relaxed_{{ i }} as relaxed on reached.node_key = relaxed.node_key
),
{% endfor %}
newest as (
    select
        inner_edges.profile_id,
        max(inner_edges.linked_at) as linked_at
    from inner_edges
    group by inner_edges.profile_id
),

final as (
    select
        nodes.node_key,
        nodes.profile_id,
        coalesce(reached.linked_at, newest.linked_at, nodes.first_seen_at) as linked_at
    from nodes
    inner join reached_{{ reach_rounds }} as reached on nodes.node_key = reached.node_key
    left join newest on nodes.profile_id = newest.profile_id
)

select * from final
