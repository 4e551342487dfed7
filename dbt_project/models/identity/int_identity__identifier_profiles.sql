with components as (
    select * from {{ ref('int_identity__components') }}
),

sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

links as (
    select * from {{ ref('int_identity__links') }}
),

browsers as (
    select
        sightings.identifier_value,
        min(sightings.first_seen_at) as first_seen_at
    from sightings
    where sightings.identifier_type = 'anonymous_id'
    group by sightings.identifier_value
),

seen_with as (
    select
        links.left_value as anonymous_id,
        components.profile_id,
        min(greatest(links.linked_at, components.linked_at)) as linked_at
    from links
    inner join components
        on links.right_type = components.identifier_type and links.right_value = components.identifier_value
    where links.strength = 'weak'
    group by links.left_value, components.profile_id
),

-- a browser shared by two people belongs to neither
owners as (
    select
        seen_with.anonymous_id,
        min(seen_with.profile_id) as profile_id,
        min(seen_with.linked_at) as linked_at
    from seen_with
    group by seen_with.anonymous_id
    having count(*) = 1
),

final as (
    select
        components.identifier_type,
        components.identifier_value,
        components.profile_id,
        components.linked_at,
        components.first_seen_at
    from components
    union all
    select
        'anonymous_id' as identifier_type,
        browsers.identifier_value,
        coalesce(
            owners.profile_id,
            {{ node_hash("'anonymous_id'", 'browsers.identifier_value') }}
        ) as profile_id,
        coalesce(owners.linked_at, browsers.first_seen_at) as linked_at,
        browsers.first_seen_at
    from browsers
    left join owners on browsers.identifier_value = owners.anonymous_id
)

select * from final
