with identifiers as (

    select * from {{ ref('profile_identifiers') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

evidence as (

    select * from {{ ref('fct_consent') }}

),

address_states as (

    select * from {{ ref('int_consent__address_states') }}

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

weighed as (

    select
        evidence.identifier_value as email,
        max(evidence.received_at) as weighed_to
    from evidence
    where evidence.source = 'unsubscribed_at_esp'
    group by evidence.identifier_value

),

final as (

    select
        identifiers.profile_id,
        identifiers.identifier_value as email,
        {{ dbt.hash('lower(identifiers.identifier_value)') }} as subscriber_hash,
        refused.profile_id is not null as is_refused,
        weighed.weighed_to as suppressions_weighed_to,
        consent.reason as consent_reason
    from identifiers
    inner join consent
        on
            identifiers.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'newsletter'
    left join refused
        on identifiers.profile_id = refused.profile_id
    left join weighed
        on identifiers.identifier_value = weighed.email
    where identifiers.identifier_type = 'email'

)

select * from final
