{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_changed_messages() }}",
) }}
-- depends_on: {{ ref('stg_email__events') }}

with all_reports as {{ in_place() }} (
    {{ email_reports() }}
),

all_rules as (
    select * from {{ ref('machine_rules') }}
),

signatures as (
    select * from {{ ref('machine_signatures') }}
),

rules as (
    select all_rules.*
    from all_rules
    where all_rules.is_enabled
),

reports as (
    select all_reports.*
    from all_reports
    {%- if is_incremental() %}
    -- the messages to be computed again, and what else was reported of their events: which report counts depends on it
    where
        all_reports.email_event_id in (
            select own.email_event_id
            from all_reports as own
            where own.message_key in (select changed.message_key from email_changed_messages as changed)
        )
    {%- endif %}
),

numbered as (
    select
        reports.*,
        row_number() over (
            partition by reports.email_event_id
            order by
                reports.received_at asc nulls last,
                reports.occurred_at asc nulls last,
                reports.load_id asc,
                reports.row_number asc
        ) as report_number
    from reports
),

events as (
    select numbered.*
    from numbered
    where numbered.report_number = 1
),

-- an unsubscribe or a complaint is nobody's to doubt, whatever made the click that led there
doubtful as (
    select events.*
    from events
    where events.event_type in ('open', 'click')
),

request_values as (
    {%- for field in ['user_agent', 'link_url', 'ip', 'http_method'] %}
    select distinct
        '{{ field }}' as field,
        doubtful.{{ field }} as value
    from doubtful
    where doubtful.{{ field }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

values_as_compared as (
    select
        request_values.field,
        request_values.value,
        {{ fold_case('request_values.value') }} as folded,
        case when request_values.field = 'ip' then {{ ipv4_number('request_values.value') }} end as ipv4
    from request_values
),

signatures_as_compared as (
    select
        signatures.rule,
        signatures.field,
        signatures.match_type,
        signatures.pattern,
        {{ fold_case('signatures.pattern') }} as folded
    from signatures
    where signatures.match_type <> 'network'
),

networks as (
    select
        signatures.rule,
        signatures.field,
        {{ ipv4_number("split_part(signatures.pattern, '/', 1)") }} as address,
        {{ ipv4_network_size('signatures.pattern') }} as size
    from signatures
    where signatures.match_type = 'network'
),

signed_values as (
    select
        own.field,
        own.value,
        known.rule
    from values_as_compared as own
    inner join signatures_as_compared as known
        on
            own.field = known.field
            and case known.match_type
                when 'exact' then own.value = known.pattern
                when 'contains' then replace(own.folded, known.folded, '') <> own.folded
                when 'prefix' then left(own.folded, length(known.folded)) = known.folded
            end
    union distinct
    select
        own.field,
        own.value,
        networks.rule
    from values_as_compared as own
    inner join networks
        on
            own.field = networks.field
            and own.ipv4 - own.ipv4 % networks.size = networks.address - networks.address % networks.size
),

deliveries as (
    select distinct
        events.message_key,
        events.occurred_at as delivered_at
    from events
    where events.event_type = 'delivered' and events.message_id is not null
),

instant as (
    select doubtful.email_event_id
    from doubtful
    inner join deliveries on doubtful.message_key = deliveries.message_key
    inner join rules on rules.rule = 'instant'
    where
        doubtful.message_id is not null
        and doubtful.occurred_at >= deliveries.delivered_at
        and doubtful.occurred_at <= {{ add_seconds('deliveries.delivered_at', 'rules.max_seconds') }}
),

clicks as (
    select
        doubtful.email_event_id,
        doubtful.message_key,
        doubtful.link_url,
        doubtful.occurred_at
    from doubtful
    where doubtful.event_type = 'click' and doubtful.message_id is not null
),

-- only these messages can hold a burst
many_links as (
    select clicks.message_key
    from clicks
    group by clicks.message_key
    having
        count(distinct clicks.link_url) >= (
            select min(rules.min_links)
            from rules
            where rules.rule = 'link_burst'
        )
),

suspect_clicks as (
    select clicks.*
    from clicks
    inner join many_links on clicks.message_key = many_links.message_key
),

burst_starts as (
    select
        suspect_clicks.message_key,
        suspect_clicks.occurred_at as started_at,
        {{ add_seconds('suspect_clicks.occurred_at', 'rules.max_seconds') }} as ended_at
    from suspect_clicks
    inner join rules on rules.rule = 'link_burst'
    inner join suspect_clicks as following
        on
            suspect_clicks.message_key = following.message_key
            and suspect_clicks.occurred_at <= following.occurred_at
            and following.occurred_at <= {{ add_seconds('suspect_clicks.occurred_at', 'rules.max_seconds') }}
    group by
        suspect_clicks.message_key, suspect_clicks.email_event_id, suspect_clicks.occurred_at, rules.max_seconds, rules.min_links
    having count(distinct following.link_url) >= rules.min_links
),

bursts as (
    select suspect_clicks.email_event_id
    from suspect_clicks
    inner join burst_starts
        on
            suspect_clicks.message_key = burst_starts.message_key
            and suspect_clicks.occurred_at >= burst_starts.started_at
            and suspect_clicks.occurred_at <= burst_starts.ended_at
),

first_opens as (
    select
        doubtful.message_key,
        min(doubtful.occurred_at) as opened_at
    from doubtful
    where doubtful.event_type = 'open' and doubtful.message_id is not null
    group by doubtful.message_key
),

unopened as (
    select clicks.email_event_id
    from clicks
    left join first_opens on clicks.message_key = first_opens.message_key
    where first_opens.opened_at is null or first_opens.opened_at > clicks.occurred_at
),

-- every rule that holds for an event, some of them more than once
held as (
    select
        doubtful.email_event_id,
        'provider_flag' as rule
    from doubtful
    where doubtful.is_provider_flagged_machine
    union all
    select
        instant.email_event_id,
        'instant' as rule
    from instant
    union all
    select
        bursts.email_event_id,
        'link_burst' as rule
    from bursts
    union all
    select
        unopened.email_event_id,
        'click_without_open' as rule
    from unopened
    {%- for field in ['user_agent', 'link_url', 'ip', 'http_method'] %}
    union all
    select
        doubtful.email_event_id,
        signed_values.rule
    from doubtful
    inner join signed_values on signed_values.field = '{{ field }}' and doubtful.{{ field }} = signed_values.value
    {%- endfor %}
),

weighed as (
    select
        doubtful.email_event_id,
        rules.rule,
        rules.version,
        rules.p_human,
        row_number() over (
            partition by doubtful.email_event_id order by rules.p_human asc, rules.rule_order asc, rules.rule asc
        ) as position
    from doubtful
    inner join held on doubtful.email_event_id = held.email_event_id
    inner join rules
        on
            held.rule = rules.rule
            and case when doubtful.event_type = 'open' then rules.applies_to_open else rules.applies_to_click end
),

-- of the report that counts (as a key of the join: a left join on a condition compares every pair)
verdicts as (
    select
        weighed.email_event_id,
        1 as report_number,
        weighed.rule,
        weighed.version,
        weighed.p_human
    from weighed
    where weighed.position = 1
),

final as (
    select
        numbered.email_event_id,
        numbered.report_number,
        case when numbered.email is not null then 'email' end as identifier_type,
        numbered.email as identifier_value,
        numbered.event_type,
        numbered.bounce_type,
        numbered.message_id,
        numbered.campaign_id,
        numbered.link_url,
        numbered.occurred_at,
        numbered.occurred_on,
        numbered.received_at,
        {{ known_at_of('email', 'numbered.occurred_at', 'numbered.received_at', 'numbered.loaded_at') }} as known_at,
        case
            when numbered.report_number = 1 and numbered.event_type in ('open', 'click')
                then coalesce(verdicts.p_human, cast(1 as double precision))
        end as p_human,
        verdicts.rule as machine_reason,
        verdicts.version as machine_rule_version,
        numbered.message_key,
        numbered.fingerprint
    from numbered
    left join verdicts
        on numbered.email_event_id = verdicts.email_event_id and numbered.report_number = verdicts.report_number
    {%- if is_incremental() %}
    where numbered.message_key in (select changed.message_key from email_changed_messages as changed)
    {%- endif %}
)

select * from final
