with profiles as (

    select * from {{ ref('dim_profiles') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

features as (

    select * from {{ ref('profile_features') }}

),

-- the gate: without a verdict on the newsletter nobody becomes a row
verdicts as (

    select
        profiles.profile_id,
        profiles.email,
        {{ dbt.hash('lower(profiles.email)') }} as subscriber_hash,
        consent.reason as consent_reason,
        case
            when consent.state in ('withdrawn', 'suppressed') then 'unsubscribe'
            when consent.state = 'granted' and consent.is_mailable then 'subscribe'
            else 'update_only'
        end as consent_verdict
    from profiles
    inner join consent
        on profiles.profile_id = consent.profile_id
    where
        profiles.email is not null
        and consent.channel = 'email'
        and consent.purpose = 'newsletter'

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
