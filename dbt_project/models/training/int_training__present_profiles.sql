with snapshots as (

    select * from {{ ref('profile_feature_snapshots') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

links as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

former_profiles as (

    select distinct snapshots.profile_id
    from snapshots
    left join profiles on snapshots.profile_id = profiles.profile_id
    where profiles.profile_id is null

),

final as (

    -- a profile is called after one of its identifiers: whose that one is by now, she is
    select
        former_profiles.profile_id,
        links.profile_id as present_profile_id
    from links
    inner join former_profiles
        on {{ node_hash('links.identifier_type', 'links.identifier_value') }} = former_profiles.profile_id

)

select * from final
