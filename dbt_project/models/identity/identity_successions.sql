with registry as (
    select * from {{ ref('identity_registry') }}
),

former as (
    select distinct registry.profile_id
    from registry
    where registry.assigned_until is not null
),

-- a profile is called after one of its identifiers: where that one is now, its memory goes
anchors as (
    select distinct
        former.profile_id as former_profile_id,
        registry.identifier_type,
        registry.identifier_value
    from registry
    inner join former
        on {{ node_hash('registry.identifier_type', 'registry.identifier_value') }} = former.profile_id
),

final as (
    select
        anchors.former_profile_id,
        registry.profile_id
    from anchors
    inner join registry
        on
            anchors.identifier_type = registry.identifier_type
            and anchors.identifier_value = registry.identifier_value
            and registry.assigned_until is null
    where anchors.former_profile_id <> registry.profile_id
)

select * from final
