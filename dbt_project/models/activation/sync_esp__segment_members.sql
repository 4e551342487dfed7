with subscribers as (

    select * from {{ ref('int_activation__subscribers') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

memberships as (

    select * from {{ ref('segment_memberships') }}

),

history as (

    select * from {{ ref('segment_membership_history') }}

),

final as (

    select
        subscribers.profile_id,
        subscribers.email,
        subscribers.subscriber_hash,
        memberships.segment_name,
        history.entered_at,
        subscribers.consent_verdict,
        memberships.as_of
    from memberships
    inner join subscribers
        on memberships.profile_id = subscribers.profile_id
    -- the gate again, where a reader of this model can see it
    inner join consent
        on
            subscribers.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'newsletter'
    inner join history
        on
            memberships.profile_id = history.profile_id
            and memberships.segment_name = history.segment_name
            and history.left_at is null

)

select * from final
