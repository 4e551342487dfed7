with consent_events as (
    select * from {{ ref('stg_consent__events') }}
),

signups as (
    select * from {{ ref('stg_newsletter__signups') }}
),

email_events as (
    select * from {{ ref('fct_email_events') }}
),

suppressions as (
    select * from {{ ref('stg_esp__suppressions') }}
),

purposes as (
    select * from {{ ref('consent_purposes') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

ranked_events as (
    select
        consent_events.*,
        row_number() over (
            partition by consent_events.consent_event_id
            order by
                -- one key, two states: the refusal counts
                case when consent_events.state = 'granted' then 2 else 1 end asc,
                consent_events.received_at asc nulls last,
                consent_events.occurred_at asc nulls last,
                consent_events.load_id asc,
                consent_events.row_number asc
        ) as position
    from consent_events
),

ranked_signups as (
    select
        signups.*,
        row_number() over (
            partition by signups.signup_id
            order by signups.submitted_at asc nulls last, signups.load_id asc, signups.row_number asc
        ) as position
    from signups
),

-- what people said
stated as (
    select
        ranked_events.consent_event_id,
        ranked_events.email,
        ranked_events.channel,
        ranked_events.purpose,
        ranked_events.state,
        'person' as scope,
        ranked_events.source,
        ranked_events.wording_version,
        ranked_events.occurred_at,
        ranked_events.received_at,
        -- an import, or the ESP's word, proves no consent; a withdrawal needs no proof
        ranked_events.state = 'withdrawn'
        or ranked_events.source in ('form', 'double_opt_in', 'preference_center') as is_evidence
    from ranked_events
    where ranked_events.position = 1
),

-- a box left empty takes nothing back: it is no statement
ticked as (
    select
        'newsletter_signup:' || ranked_signups.signup_id || ':' || purposes.purpose as consent_event_id,
        ranked_signups.email,
        purposes.channel,
        purposes.purpose,
        'granted' as state,
        'person' as scope,
        'form' as source,
        ranked_signups.wording_version,
        ranked_signups.submitted_at as occurred_at,
        cast(null as timestamp) as received_at,
        true as is_evidence
    from ranked_signups
    inner join purposes
        on
            purposes.channel = 'email'
            and (
                (purposes.purpose = 'newsletter' and ranked_signups.is_newsletter_ticked)
                or (purposes.purpose = 'profiling' and ranked_signups.is_profiling_ticked)
            )
    where ranked_signups.position = 1
),

-- what the mail itself brought back: it ends every kind of mailing
suppressed as (
    select
        'email_event:' || email_events.email_event_id || ':' || purposes.purpose as consent_event_id,
        email_events.identifier_value as email,
        purposes.channel,
        purposes.purpose,
        'suppressed' as state,
        case when email_events.event_type = 'bounce' then 'address' else 'person' end as scope,
        case when email_events.event_type = 'bounce' then 'hard_bounce' else email_events.event_type end as source,
        cast(null as text) as wording_version,
        email_events.occurred_at,
        cast(null as timestamp) as received_at,
        true as is_evidence
    from email_events
    inner join purposes on purposes.channel = 'email' and purposes.is_mailing
    where
        email_events.event_type in ('unsubscribe', 'complaint')
        or (email_events.event_type = 'bounce' and email_events.bounce_type = 'hard')
),

-- what a pull found at the ESP, whether or not its event ever arrives
ended_there as (
    select
        'esp_suppression:' || suppressions.suppression_id || ':' || purposes.purpose as consent_event_id,
        suppressions.email,
        purposes.channel,
        purposes.purpose,
        'suppressed' as state,
        case when suppressions.kind = 'bounce' then 'address' else 'person' end as scope,
        case when suppressions.kind = 'bounce' then 'cleaned_at_esp' else 'unsubscribed_at_esp' end as source,
        cast(null as text) as wording_version,
        suppressions.occurred_at,
        suppressions.received_at,
        true as is_evidence
    from suppressions
    inner join purposes on purposes.channel = 'email' and purposes.is_mailing
),

combined as (
    select * from stated
    union all
    select * from ticked
    union all
    select * from suppressed
    union all
    select * from ended_there
),

final as (
    select
        combined.consent_event_id,
        identifier_profiles.profile_id,
        case when combined.email is not null then 'email' end as identifier_type,
        combined.email as identifier_value,
        combined.channel,
        combined.purpose,
        combined.state,
        combined.scope,
        combined.source,
        combined.wording_version,
        combined.occurred_at,
        combined.received_at,
        combined.is_evidence
    from combined
    left join identifier_profiles
        on
            identifier_profiles.identifier_type = 'email'
            and combined.email = identifier_profiles.identifier_value
)

select * from final
