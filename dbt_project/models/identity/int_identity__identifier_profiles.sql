with registry as (
    select * from {{ ref('identity_registry') }}
),

identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
),

link_times as (
    select * from {{ ref('int_identity__link_times') }}
),

all_edges as (
    select * from {{ ref('int_identity__edges') }}
),

current_profiles as (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.tier,
        registry.profile_id,
        {{ node_hash('identifiers.identifier_type', 'identifiers.identifier_value') }} = registry.profile_id as is_anchor,
        identifiers.first_seen_at,
        -- the only bridge of its profile hung together with itself from the first
        coalesce(link_times.linked_at, identifiers.first_seen_at) as linked_at
    from registry
    inner join identifiers
        on
            registry.identifier_type = identifiers.identifier_type
            and registry.identifier_value = identifiers.identifier_value
    left join link_times on identifiers.node_key = link_times.node_key
    where registry.assigned_until is null
),

edges as (
    select
        all_edges.left_key as node_key,
        all_edges.right_key as neighbour_key,
        all_edges.first_seen_at
    from all_edges
    where all_edges.tier = 'attach' and all_edges.is_active
    union all
    select
        all_edges.right_key as node_key,
        all_edges.left_key as neighbour_key,
        all_edges.first_seen_at
    from all_edges
    where all_edges.tier = 'attach' and all_edges.is_active
),

attached_directly as (
    select
        own.node_key,
        min(greatest(edges.first_seen_at, persons.linked_at)) as linked_at
    from current_profiles as own
    inner join edges on own.node_key = edges.node_key
    inner join current_profiles as persons
        on edges.neighbour_key = persons.node_key and own.profile_id = persons.profile_id and persons.tier = 'bridge'
    where own.tier = 'attach'
    group by own.node_key
),

attached_through_others as (
    select
        own.node_key,
        min(greatest(edges.first_seen_at, others.linked_at)) as linked_at
    from current_profiles as own
    inner join edges on own.node_key = edges.node_key
    inner join current_profiles as neighbours
        on edges.neighbour_key = neighbours.node_key and own.profile_id = neighbours.profile_id
    inner join attached_directly as others on neighbours.node_key = others.node_key
    where own.tier = 'attach'
    group by own.node_key
),

-- the device of a visitor's browser
attached_to_visitors as (
    select
        own.node_key,
        min(edges.first_seen_at) as linked_at
    from current_profiles as own
    inner join edges on own.node_key = edges.node_key
    inner join current_profiles as neighbours
        on edges.neighbour_key = neighbours.node_key and own.profile_id = neighbours.profile_id
    where own.tier = 'attach'
    group by own.node_key
),

final as (
    select
        current_profiles.identifier_type,
        current_profiles.identifier_value,
        current_profiles.profile_id,
        case
            when current_profiles.tier = 'bridge' or current_profiles.is_anchor then current_profiles.linked_at
            else coalesce(
                attached_directly.linked_at,
                attached_through_others.linked_at,
                attached_to_visitors.linked_at,
                current_profiles.first_seen_at
            )
        end as linked_at,
        current_profiles.first_seen_at
    from current_profiles
    left join attached_directly on current_profiles.node_key = attached_directly.node_key
    left join attached_through_others on current_profiles.node_key = attached_through_others.node_key
    left join attached_to_visitors on current_profiles.node_key = attached_to_visitors.node_key
)

select * from final
