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

-- what a segment's first build finds in it is how things stood, and nobody's entry
beginnings as (

    select
        segment_name,
        min(entered_at) as recorded_since
    from history
    group by segment_name

),

entries as (

    select
        history.profile_id,
        history.segment_name,
        history.entered_at
    from history
    inner join beginnings
        on history.segment_name = beginnings.segment_name
    where
        history.left_at is null
        and history.entered_at > beginnings.recorded_since
        -- a past that was computed afterwards is no news either
        and coalesce(history.reason, 'build') = 'build'

),

final as (

    select
        -- of the address, which a person keeps when profiles merge or get another id
        {{ hash_key(['subscribers.subscriber_hash', "'entered_segment'", 'entries.segment_name', 'entries.entered_at']) }}
            as event_id,
        subscribers.profile_id,
        subscribers.email,
        subscribers.subscriber_hash,
        subscribers.consent_verdict,
        cast('entered_segment' as {{ dbt.type_string() }}) as event_name,
        -- before the build that saw it: what is visible as of an instant happened before that instant
        {{ add_microseconds('entries.entered_at', -1) }} as occurred_at,
        entries.segment_name,
        memberships.as_of
    from entries
    inner join memberships
        on
            entries.profile_id = memberships.profile_id
            and entries.segment_name = memberships.segment_name
    inner join subscribers
        on entries.profile_id = subscribers.profile_id
    -- the gate again, where a reader of this model can see it
    inner join consent
        on
            subscribers.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'newsletter'

)

select * from final
