with edges as (
    select * from {{ ref('int_identity__edges') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

attachments as (
    select * from {{ ref('int_identity__attachments') }}
),

-- edges whose ends are not of one profile; an end in quarantine has none
apart as (
    select
        edges.*,
        left_side.profile_id as left_profile_id,
        right_side.profile_id as right_profile_id
    from edges
    left join identifier_profiles as left_side
        on edges.left_type = left_side.identifier_type and edges.left_value = left_side.identifier_value
    left join identifier_profiles as right_side
        on edges.right_type = right_side.identifier_type and edges.right_value = right_side.identifier_value
    where
        left_side.profile_id is null
        or right_side.profile_id is null
        or left_side.profile_id <> right_side.profile_id
),

final as (
    select
        apart.left_type,
        apart.left_value,
        apart.right_type,
        apart.right_value,
        apart.left_profile_id,
        apart.right_profile_id,
        case
            when apart.refusal is not null then apart.refusal
            when apart.tier = 'bridge' then 'max_component_size'
            else 'shared'
        end as limit_kind,
        case
            when apart.refusal is not null then apart.refusal_detail
            when apart.tier = 'bridge' then 'more than {{ var("identity_max_component_size") }} identifiers'
            when left_attachments.is_shared then apart.left_type || ' seen with several people'
            when right_attachments.is_shared then apart.right_type || ' seen with several people'
            else 'reaches several people'
        end as limit_name,
        apart.strength,
        apart.first_seen_at,
        apart.last_seen_at,
        apart.sources
    from apart
    left join attachments as left_attachments on apart.left_key = left_attachments.node_key
    left join attachments as right_attachments on apart.right_key = right_attachments.node_key
)

select * from final
