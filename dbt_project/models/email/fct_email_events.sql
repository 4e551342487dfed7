with events as (
    select * from {{ ref('stg_email__events') }}
),

agents as (
    select * from {{ ref('privacy_agents') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

ranked as (
    select
        events.*,
        row_number() over (
            partition by events.email_event_id
            order by
                events.received_at asc nulls last,
                events.occurred_at asc nulls last,
                events.load_id asc,
                events.row_number asc
        ) as position
    from events
),

-- one message is one message_id to one address
distinct_events as (
    select
        ranked.*,
        ranked.message_id || ' ' || coalesce(ranked.email, '') as message_key
    from ranked
    where ranked.position = 1
),

deliveries as (
    select
        distinct_events.message_key,
        distinct_events.occurred_at as delivered_at
    from distinct_events
    where distinct_events.event_type = 'delivered' and distinct_events.message_id is not null
),

-- opens and clicks that follow a delivery faster than a person can
instant as (
    select distinct distinct_events.email_event_id
    from distinct_events
    inner join deliveries on distinct_events.message_key = deliveries.message_key
    where
        distinct_events.event_type in ('open', 'click')
        and distinct_events.occurred_at >= deliveries.delivered_at
        and distinct_events.occurred_at
        <= {{ add_seconds('deliveries.delivered_at', var('machine_open_max_seconds')) }}
),

user_agents as (
    select distinct distinct_events.user_agent
    from distinct_events
    where distinct_events.user_agent is not null
),

-- a pattern without proof says nothing: Gmail's and Yahoo's proxies fetch when a person opens
proxies as (
    select user_agents.user_agent
    from user_agents
    inner join agents
        on
            (agents.match_type = 'exact' and user_agents.user_agent = agents.pattern)
            or (
                agents.match_type = 'contains'
                and replace(user_agents.user_agent, agents.pattern, '') <> user_agents.user_agent
            )
    where agents.is_proof_of_machine
    group by user_agents.user_agent
),

clicks as (
    select
        distinct_events.email_event_id,
        distinct_events.message_key,
        distinct_events.link_url,
        distinct_events.occurred_at
    from distinct_events
    where distinct_events.event_type = 'click' and distinct_events.message_id is not null
),

-- only these messages can hold a burst
many_links as (
    select clicks.message_key
    from clicks
    group by clicks.message_key
    having count(distinct clicks.link_url) >= {{ var('machine_burst_min_links') }}
),

suspect_clicks as (
    select clicks.*
    from clicks
    inner join many_links on clicks.message_key = many_links.message_key
),

burst_starts as (
    select
        suspect_clicks.message_key,
        suspect_clicks.occurred_at as started_at
    from suspect_clicks
    inner join suspect_clicks as following
        on
            suspect_clicks.message_key = following.message_key
            and suspect_clicks.occurred_at <= following.occurred_at
            and following.occurred_at
            <= {{ add_seconds('suspect_clicks.occurred_at', var('machine_burst_window_seconds')) }}
    group by suspect_clicks.message_key, suspect_clicks.email_event_id, suspect_clicks.occurred_at
    having count(distinct following.link_url) >= {{ var('machine_burst_min_links') }}
),

bursts as (
    select distinct suspect_clicks.email_event_id
    from suspect_clicks
    inner join burst_starts
        on
            suspect_clicks.message_key = burst_starts.message_key
            and suspect_clicks.occurred_at >= burst_starts.started_at
            and suspect_clicks.occurred_at
            <= {{ add_seconds('burst_starts.started_at', var('machine_burst_window_seconds')) }}
),

judged as (
    select
        distinct_events.*,
        -- the first reason that holds; an unsubscribe is never taken for a machine's
        case
            when distinct_events.event_type not in ('open', 'click') then null
            when distinct_events.is_provider_flagged_machine then 'provider_flag'
            when instant.email_event_id is not null then 'instant'
            when distinct_events.event_type = 'open' and proxies.user_agent is not null then 'privacy_proxy'
            when bursts.email_event_id is not null then 'link_burst'
        end as machine_reason
    from distinct_events
    left join instant on distinct_events.email_event_id = instant.email_event_id
    left join proxies on distinct_events.user_agent = proxies.user_agent
    left join bursts on distinct_events.email_event_id = bursts.email_event_id
),

final as (
    select
        judged.email_event_id,
        identifier_profiles.profile_id,
        case when judged.email is not null then 'email' end as identifier_type,
        judged.email as identifier_value,
        judged.event_type,
        judged.bounce_type,
        judged.message_id,
        judged.campaign_id,
        judged.link_url,
        judged.occurred_at,
        {{ local_date('judged.occurred_at') }} as occurred_on,
        judged.received_at,
        {{ known_at_of('email', 'judged.occurred_at', 'judged.received_at', 'judged.loaded_at') }} as known_at,
        judged.machine_reason is not null as is_machine,
        judged.machine_reason
    from judged
    left join identifier_profiles
        on
            identifier_profiles.identifier_type = 'email'
            and judged.email = identifier_profiles.identifier_value
)

select * from final
