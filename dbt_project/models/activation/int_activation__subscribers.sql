with profiles as (

    select * from {{ ref('dim_profiles') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

features as (

    select * from {{ ref('profile_features') }}

),

address_states as (

    select * from {{ ref('int_consent__address_states') }}

),

-- where the person agreed, and mail has not come back
agreed as (

    select
        profile_id,
        email,
        row_number() over (
            partition by profile_id
            order by decided_at desc nulls last, email asc
        ) as recency
    from address_states
    where
        channel = 'email'
        and purpose = 'newsletter'
        and state = 'granted'
        and not is_bounced

),

-- consent covers the address at which it was given: as long as there is none for the one in use, mail goes on to the
-- newest that has it, and nobody is subscribed with an address that never was
addressed as (

    select
        profiles.profile_id,
        consent.state,
        consent.reason,
        case
            when consent.is_mailable and in_use.email is null then coalesce(agreed.email, profiles.email)
            else profiles.email
        end as email,
        consent.is_mailable and coalesce(in_use.email, agreed.email) is not null as has_agreed
    from profiles
    -- the gate: without a verdict on the newsletter nobody becomes a row
    inner join consent
        on profiles.profile_id = consent.profile_id
    left join agreed as in_use
        on
            profiles.profile_id = in_use.profile_id
            and profiles.email = in_use.email
    left join agreed
        on
            profiles.profile_id = agreed.profile_id
            and agreed.recency = 1
    where
        profiles.email is not null
        and consent.channel = 'email'
        and consent.purpose = 'newsletter'

),

verdicts as (

    select
        profile_id,
        email,
        {{ dbt.hash('lower(email)') }} as subscriber_hash,
        reason as consent_reason,
        case
            when state in ('withdrawn', 'suppressed') then 'unsubscribe'
            when state = 'granted' and has_agreed then 'subscribe'
            else 'update_only'
        end as consent_verdict
    from addressed

),

ranked as (

    select
        verdicts.*,
        case verdicts.consent_verdict when 'unsubscribe' then 1 when 'update_only' then 2 else 3 end as leniency,
        row_number() over (
            partition by verdicts.subscriber_hash
            order by
                features.last_human_activity_at desc nulls last,
                verdicts.profile_id asc nulls last
        ) as liveliness
    from verdicts
    left join features
        on verdicts.profile_id = features.profile_id

),

strictest as (

    select
        *,
        row_number() over (
            partition by subscriber_hash
            order by leniency asc nulls last, liveliness asc nulls last
        ) as strictness
    from ranked

),

-- two profiles on one address: the livelier one lends its data, the stricter verdict holds for the address
final as (

    select
        ranked.profile_id,
        ranked.email,
        ranked.subscriber_hash,
        strictest.consent_verdict,
        strictest.consent_reason
    from ranked
    inner join strictest
        on
            ranked.subscriber_hash = strictest.subscriber_hash
            and strictest.strictness = 1
    where ranked.liveliness = 1

)

select * from final
