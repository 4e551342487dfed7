with identifiers as (

    select * from {{ ref('profile_identifiers') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

address_states as (

    select * from {{ ref('int_consent__address_states') }}

),

subscribers as (

    select * from {{ ref('int_activation__subscribers') }}

),

-- a person's refusal at any address; a bounce says nothing about the others
refused as (

    select distinct address_states.profile_id
    from address_states
    where
        address_states.channel = 'email'
        and address_states.purpose = 'newsletter'
        and address_states.state in ('withdrawn', 'suppressed')

),

final as (

    select
        identifiers.profile_id,
        identifiers.identifier_value as email,
        {{ dbt.hash('lower(identifiers.identifier_value)') }} as subscriber_hash,
        'unsubscribe' as consent_verdict,
        consent.reason as consent_reason
    from identifiers
    inner join refused
        on identifiers.profile_id = refused.profile_id
    inner join consent
        on
            identifiers.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'newsletter'
    -- the address in use has its verdict already
    left join subscribers
        on {{ dbt.hash('lower(identifiers.identifier_value)') }} = subscribers.subscriber_hash
    where
        identifiers.identifier_type = 'email'
        and subscribers.subscriber_hash is null

)

select * from final
