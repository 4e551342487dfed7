with identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

flagged_addresses as (
    select * from {{ ref('int_profiles__flagged_addresses') }}
),

seen as (
    select
        sightings.identifier_type,
        sightings.identifier_value,
        max(sightings.last_seen_at) as last_seen_at,
        max(
            case
                when sightings.source in ('crm_contact', 'shop_customer', 'newsletter_signup', 'web_event')
                    then sightings.last_seen_at
            end
        ) as last_trusted_at
    from sightings
    group by sightings.identifier_type, sightings.identifier_value
),

final as (
    select
        identifier_profiles.profile_id,
        identifier_profiles.identifier_type,
        identifier_profiles.identifier_value,
        identifier_profiles.linked_at,
        identifier_profiles.first_seen_at,
        seen.last_seen_at,
        seen.last_trusted_at,
        coalesce(flagged_addresses.is_role, false) as is_role,
        coalesce(flagged_addresses.is_disposable, false) as is_disposable
    from identifier_profiles
    inner join seen
        on
            identifier_profiles.identifier_type = seen.identifier_type
            and identifier_profiles.identifier_value = seen.identifier_value
    left join flagged_addresses
        on
            identifier_profiles.identifier_type = 'email'
            and identifier_profiles.identifier_value = flagged_addresses.email
)

select * from final
