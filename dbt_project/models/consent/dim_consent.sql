with profiles as (
    select * from {{ ref('dim_profiles') }}
),

purposes as (
    select * from {{ ref('consent_purposes') }}
),

address_states as (
    select * from {{ ref('int_consent__address_states') }}
),

-- most restrictive first: what was said about one address of a person holds for all of them
ranked_states as (
    select
        address_states.*,
        row_number() over (
            partition by address_states.profile_id, address_states.channel, address_states.purpose
            order by
                case address_states.state
                    when 'suppressed' then 1
                    when 'withdrawn' then 2
                    when 'granted' then 3
                    else 4
                end asc,
                address_states.decided_at desc nulls last,
                address_states.reason asc,
                address_states.email asc
        ) as position
    from address_states
),

-- a bounce belongs to the address: it counts for the one that would be written to
folded as (
    select
        profiles.profile_id,
        purposes.channel,
        purposes.purpose,
        purposes.is_mailing,
        coalesce(person.state, 'unknown') as person_state,
        coalesce(person.reason, 'no_evidence') as person_reason,
        person.decided_at as person_decided_at,
        coalesce(address.is_bounced, false) and coalesce(person.state, 'unknown') <> 'suppressed' as is_bounced,
        address.bounced_at
    from profiles
    cross join purposes
    left join ranked_states as person
        on
            profiles.profile_id = person.profile_id
            and purposes.channel = person.channel
            and purposes.purpose = person.purpose
            and person.position = 1
    left join address_states as address
        on
            profiles.email = address.email
            and purposes.channel = address.channel
            and purposes.purpose = address.purpose
    where profiles.email is not null
),

final as (
    select
        folded.profile_id,
        folded.channel,
        folded.purpose,
        case when folded.is_bounced then 'suppressed' else folded.person_state end as state,
        case when folded.is_bounced then 'hard_bounce' else folded.person_reason end as reason,
        case when folded.is_bounced then folded.bounced_at else folded.person_decided_at end as decided_at,
        folded.is_mailing and folded.person_state = 'granted' and not folded.is_bounced as is_mailable
    from folded
)

select * from final
