{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('node_key') }}",
) }}

with identifiers as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__identifiers') }}
    {{ within_region('node_key') }}
),

edges as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__edges') }}
    {{ within_region('left_key') }}
),

components as (
    select * from {{ ref('int_identity__components') }}
),

attached as (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.stands_alone
    from identifiers
    where identifiers.tier = 'attach'
),

neighbours as (
    select
        edges.left_key as node_key,
        edges.right_key as neighbour_key,
        edges.first_seen_at
    from edges
    where edges.tier = 'attach' and edges.is_active
    union all
    select
        edges.right_key as node_key,
        edges.left_key as neighbour_key,
        edges.first_seen_at
    from edges
    where edges.tier = 'attach' and edges.is_active
),

founded as (
    {{ founded_components('identifiers', 'components') }}
),

-- a bridge without any edge to another bridge is a component of its own; what is made of others is not
persons as (
    select
        identifiers.node_key,
        coalesce(components.component_key, identifiers.node_key) as component_key
    from identifiers
    left join components on identifiers.node_key = components.node_key
    left join founded on components.component_key = founded.component_key
    where identifiers.tier = 'bridge' and (identifiers.stands_alone or founded.component_key is not null)
),

seen_with_persons as (
    select
        attached.node_key,
        min(persons.component_key) as component_key,
        count(distinct persons.component_key) as n_owners
    from attached
    inner join neighbours on attached.node_key = neighbours.node_key
    inner join persons on neighbours.neighbour_key = persons.node_key
    group by attached.node_key
),

-- never seen with a person itself, but with attached ones that were: the device of a browser
seen_through_others as (
    select
        attached.node_key,
        min(others.component_key) as component_key,
        count(distinct others.component_key) as n_owners
    from attached
    inner join neighbours on attached.node_key = neighbours.node_key
    inner join seen_with_persons as others on neighbours.neighbour_key = others.node_key
    left join seen_with_persons as own on attached.node_key = own.node_key
    where own.node_key is null and others.n_owners = 1
    group by attached.node_key
),

owners as (
    select
        seen_with_persons.node_key,
        seen_with_persons.component_key,
        seen_with_persons.n_owners
    from seen_with_persons
    union all
    select
        seen_through_others.node_key,
        seen_through_others.component_key,
        seen_through_others.n_owners
    from seen_through_others
),

-- of nobody, and not able to stand alone: it goes with the one visitor it was seen with
visitors as (
    select
        attached.node_key,
        min(hosts.node_key) as host_key
    from attached
    inner join neighbours on attached.node_key = neighbours.node_key
    inner join attached as hosts on neighbours.neighbour_key = hosts.node_key and hosts.stands_alone
    left join owners on attached.node_key = owners.node_key
    left join owners as host_owners on hosts.node_key = host_owners.node_key
    where not attached.stands_alone and owners.node_key is null and host_owners.node_key is null
    group by attached.node_key
    having count(distinct hosts.node_key) = 1
),

final as (
    select
        attached.node_key,
        attached.identifier_type,
        attached.identifier_value,
        case when owners.n_owners = 1 then owners.component_key end as component_key,
        visitors.host_key,
        coalesce(owners.n_owners > 1, false) as is_shared
    from attached
    left join owners on attached.node_key = owners.node_key
    left join visitors on attached.node_key = visitors.node_key
)

select * from final
