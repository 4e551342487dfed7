{#-
    Connected components of the strong links by rounds that hook each node and its parent to the least grandparent of a
    neighbour, then shorten (FastSV: Zhang, Azad, Hu 2020, doi:10.1137/1.9781611976137.5): rounds grow with the logarithm of a
    chain's length in whatever order its links came; eight suffice for chains of some sixty identifiers. Then the instant from
    which each identifier hung together with the first one: the path whose newest link is the oldest. Both are unrolled; the
    test on the links fails if the rounds did not suffice.
-#}
{%- set label_rounds = 8 -%}
{%- set reach_rounds = 6 -%}

with sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

links as (
    select * from {{ ref('int_identity__links') }}
),

nodes as (
    select
        sightings.identifier_type,
        sightings.identifier_value,
        min(sightings.first_seen_at) as first_seen_at
    from sightings
    where sightings.identifier_type <> 'anonymous_id'
    group by sightings.identifier_type, sightings.identifier_value
),

numbered as (
    select
        nodes.*,
        row_number() over (
            order by nodes.first_seen_at asc nulls last, nodes.identifier_type asc, nodes.identifier_value asc
        ) as node
    from nodes
),

strong_links as (
    select
        left_nodes.node as left_node,
        right_nodes.node as right_node,
        min(links.linked_at) as linked_at
    from links
    inner join numbered as left_nodes
        on links.left_type = left_nodes.identifier_type and links.left_value = left_nodes.identifier_value
    inner join numbered as right_nodes
        on links.right_type = right_nodes.identifier_type and links.right_value = right_nodes.identifier_value
    where links.strength = 'strong'
    group by left_nodes.node, right_nodes.node
),

edges as (
    select
        strong_links.left_node as node,
        strong_links.right_node as neighbour,
        strong_links.linked_at
    from strong_links
    union all
    select
        strong_links.right_node as node,
        strong_links.left_node as neighbour,
        strong_links.linked_at
    from strong_links
),

labels_0 as (
    select
        numbered.node,
        numbered.node as label
    from numbered
),
{% for i in range(1, label_rounds + 1) %}
grand_{{ i }} as (
    select
        labels.node,
        labels.label,
        parents.label as grandparent
    from labels_{{ i - 1 }} as labels
    inner join labels_{{ i - 1 }} as parents on labels.label = parents.node
),

offered_{{ i }} as (
    select
        own.node,
        own.label as parent,
        min(near.grandparent) as label
    from edges
    inner join grand_{{ i }} as own on edges.node = own.node
    inner join grand_{{ i }} as near on edges.neighbour = near.node
    group by own.node, own.label
),

hooks_{{ i }} as (
    select
        offered.node,
        offered.label
    from offered_{{ i }} as offered
    union all
    select
        offered.parent as node,
        offered.label
    from offered_{{ i }} as offered
),

least_{{ i }} as (
    select
        hooks.node,
        min(hooks.label) as label
    from hooks_{{ i }} as hooks
    group by hooks.node
),

labels_{{ i }} as (
    select
        grand.node,
        least(grand.grandparent, coalesce(hook.label, grand.grandparent)) as label
    from grand_{{ i }} as grand
    left join least_{{ i }} as hook on grand.node = hook.node
),
{% endfor %}
reached_0 as (
    select
        numbered.node,
        case when labels.label = labels.node then numbered.first_seen_at end as linked_at
    from numbered
    inner join labels_{{ label_rounds }} as labels on numbered.node = labels.node
),
{% for i in range(1, reach_rounds + 1) %}
relaxed_{{ i }} as (
    select
        edges.node,
        min(greatest(edges.linked_at, reached.linked_at)) as linked_at
    from edges
    inner join reached_{{ i - 1 }} as reached on edges.neighbour = reached.node
    where reached.linked_at is not null
    group by edges.node
),

reached_{{ i }} as (
    select
        reached.node,
        case
            when relaxed.linked_at < reached.linked_at then relaxed.linked_at
            else coalesce(reached.linked_at, relaxed.linked_at)
        end as linked_at
    from reached_{{ i - 1 }} as reached
    left join relaxed_{{ i }} as relaxed on reached.node = relaxed.node
),
{% endfor %}
-- farther away than the rounds reach: not before the newest link of the whole component
newest as (
    select
        labels.label,
        max(edges.linked_at) as linked_at
    from edges
    inner join labels_{{ label_rounds }} as labels on edges.node = labels.node
    group by labels.label
),

final as (
    select
        numbered.identifier_type,
        numbered.identifier_value,
        {{ node_hash('roots.identifier_type', 'roots.identifier_value') }} as profile_id,
        coalesce(reached.linked_at, newest.linked_at) as linked_at,
        numbered.first_seen_at
    from numbered
    inner join labels_{{ label_rounds }} as labels on numbered.node = labels.node
    inner join numbered as roots on labels.label = roots.node
    inner join reached_{{ reach_rounds }} as reached on numbered.node = reached.node
    left join newest on labels.label = newest.label
)

select * from final
