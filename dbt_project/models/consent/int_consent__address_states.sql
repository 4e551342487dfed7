with statements as (
    select * from {{ ref('fct_consent') }}
),

dated as (
    select
        statements.profile_id,
        statements.identifier_value as email,
        statements.channel,
        statements.purpose,
        max(case when statements.state = 'suppressed' and statements.scope = 'person' then statements.occurred_at end)
            as suppressed_at,
        max(case when statements.state = 'suppressed' and statements.scope = 'address' then statements.occurred_at end)
            as bounced_at,
        max(case when statements.state = 'withdrawn' then statements.occurred_at end) as withdrawn_at,
        max(case when statements.state = 'granted' and statements.is_evidence then statements.occurred_at end)
            as granted_at,
        max(case when statements.state = 'granted' and not statements.is_evidence then statements.occurred_at end)
            as claimed_at
    from statements
    where statements.profile_id is not null
    group by statements.profile_id, statements.identifier_value, statements.channel, statements.purpose
),

-- only explicit evidence that is strictly newer lifts a refusal
judged as (
    select
        dated.*,
        case
            when dated.suppressed_at is not null and not coalesce(dated.granted_at > dated.suppressed_at, false)
                then 'suppressed'
            when dated.withdrawn_at is not null and not coalesce(dated.granted_at > dated.withdrawn_at, false)
                then 'withdrawn'
            when dated.granted_at is not null then 'granted'
            else 'unknown'
        end as state,
        coalesce(dated.bounced_at is not null and not coalesce(dated.granted_at > dated.bounced_at, false), false)
            as is_bounced
    from dated
),

ranked_sources as (
    select
        statements.identifier_value as email,
        statements.channel,
        statements.purpose,
        statements.state,
        statements.source,
        row_number() over (
            partition by statements.identifier_value, statements.channel, statements.purpose, statements.state
            order by statements.occurred_at desc nulls last, statements.source asc, statements.consent_event_id asc
        ) as position
    from statements
    where
        (statements.state = 'granted' and statements.is_evidence)
        or statements.state = 'withdrawn'
        or (statements.state = 'suppressed' and statements.scope = 'person')
),

final as (
    select
        judged.profile_id,
        judged.email,
        judged.channel,
        judged.purpose,
        judged.state,
        case
            when judged.state = 'withdrawn' then 'withdrawn_by_' || ranked_sources.source
            when judged.state = 'unknown' and judged.claimed_at is not null then 'claim_without_evidence'
            when judged.state = 'unknown' then 'no_evidence'
            else ranked_sources.source
        end as reason,
        case judged.state
            when 'suppressed' then judged.suppressed_at
            when 'withdrawn' then judged.withdrawn_at
            when 'granted' then judged.granted_at
        end as decided_at,
        judged.is_bounced,
        judged.bounced_at
    from judged
    left join ranked_sources
        on
            judged.email = ranked_sources.email
            and judged.channel = ranked_sources.channel
            and judged.purpose = ranked_sources.purpose
            and judged.state = ranked_sources.state
            and ranked_sources.position = 1
)

select * from final
