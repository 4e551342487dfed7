{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    pre_hook="{{ forget_web_days() }}",
) }}
{%- set some_days = rows_stay(web_rules()) %}
{%- set own_columns = [
    'web_event_id', 'identifier_type', 'identifier_value', 'device', 'event_name', 'occurred_at', 'occurred_on', 'received_at', 'known_at',
    'product_id', 'category', 'order_id', 'page_url', 'campaign_name', 'load_id', 'row_number'
] %}
{%- set contending_columns = ['web_event_id', 'received_at', 'occurred_at', 'load_id', 'row_number'] %}

with events as (
    select * from {{ ref('stg_web__events') }}
),

delivered as {{ in_place() if not some_days }} (
    select
        events.message_id as web_event_id,
        case when events.user_id is not null then 'user_id' when events.anonymous_id is not null then 'anonymous_id' end
            as identifier_type,
        coalesce(events.user_id, events.anonymous_id) as identifier_value,
        -- a session is of a device, so that logging in half-way does not split it
        coalesce('a:' || events.anonymous_id, 'u:' || events.user_id, 'm:' || events.message_id) as device,
        events.event_name,
        events.occurred_at,
        {{ local_date('events.occurred_at') }} as occurred_on,
        events.received_at,
        events.known_at,
        events.product_id,
        events.category,
        events.order_id,
        events.page_url,
        events.campaign_name,
        events.load_id,
        events.row_number
    from events
    {%- if some_days %}
    inner join {{ working_table('utc_days') }} as utc_days on cast(events.occurred_at as date) = utc_days.utc_day
    inner join {{ working_table('days') }} as days on {{ local_date('events.occurred_at') }} = days.occurred_on
    {%- endif %}
    where events.event_type in ('page', 'track')
),

-- numbers, since few messages came more than once and there is no need to compare the names of all
contenders as {{ in_place() if not some_days }} (
    select
        {%- for column in contending_columns %}
        delivered.{{ column }},
        {%- endfor %}
        {{ row_fingerprint(['delivered.web_event_id']) }} as message_key
    from delivered
    {%- if some_days %}
    union all
    select
        {%- for column in contending_columns %}
        elsewhere.{{ column }},
        {%- endfor %}
        {{ row_fingerprint(['elsewhere.web_event_id']) }} as message_key
    from {{ working_table('elsewhere') }} as elsewhere
    {%- endif %}
),

repeated as (
    select contenders.message_key
    from contenders
    group by contenders.message_key
    having count(*) > 1
),

-- the first delivery of a message counts
ranked as (
    select
        contenders.load_id,
        contenders.row_number,
        row_number() over (
            partition by contenders.web_event_id
            order by
                contenders.received_at asc nulls last,
                contenders.occurred_at asc nulls last,
                contenders.load_id asc,
                contenders.row_number asc
        ) as delivery,
        count(*) over (partition by contenders.web_event_id) as n_deliveries
    from contenders
    where contenders.message_key in (select repeated.message_key from repeated)
),

known as (
    select
        {%- for column in own_columns %}
        delivered.{{ column }},
        {%- endfor %}
        coalesce(ranked.delivery, 1) as delivery,
        coalesce(ranked.n_deliveries, 1) as n_deliveries,
        cast(null as timestamp) as session_started_at,
        true as is_kept
    from delivered
    left join ranked on delivered.load_id = ranked.load_id and delivered.row_number = ranked.row_number
    {%- if some_days %}
    {%- for source, is_kept in [('carried', 'true'), ('before', 'false')] %}
    union all
    select
        {%- for column in own_columns + ['delivery', 'n_deliveries', 'session_started_at'] %}
        {{ source }}.{{ column }},
        {%- endfor %}
        {{ is_kept }} as is_kept
    from {{ working_table(source) }} as {{ source }}
    {%- endfor %}
    {%- endif %}
),

-- further deliveries are of no session
placed as (
    select
        known.*,
        case when known.delivery = 1 then known.device end as session_of
    from known
),

spaced as (
    select
        placed.*,
        lag(placed.occurred_at) over (
            partition by placed.session_of order by placed.occurred_at asc, placed.web_event_id asc
        ) as previous_at
    from placed
),

marked as (
    select
        spaced.*,
        coalesce(
            spaced.occurred_at > {{ add_minutes('spaced.previous_at', var('session_inactivity_minutes')) }},
            true
        ) as begins
    from spaced
),

-- an event before the days done again knows when its session began
started as (
    select
        marked.*,
        max(case when not marked.is_kept then marked.session_started_at when marked.begins then marked.occurred_at end) over (
            partition by marked.session_of order by marked.occurred_at asc, marked.web_event_id asc
            rows between unbounded preceding and current row
        ) as began_at
    from marked
),

sessions as (
    select
        {%- for column in own_columns + ['delivery', 'n_deliveries'] %}
        started.{{ column }},
        {%- endfor %}
        case when started.session_of is not null then started.began_at end as session_started_at,
        case
            when started.session_of is not null then {{ hash_key(['started.session_of', 'started.began_at']) }}
        end as session_id,
        started.begins and started.session_of is not null as is_session_start
    from started
    where started.is_kept
),

final as (
    select
        sessions.web_event_id,
        cast(sessions.delivery as bigint) as delivery,
        cast(sessions.n_deliveries as bigint) as n_deliveries,
        sessions.identifier_type,
        sessions.identifier_value,
        sessions.device,
        sessions.session_id,
        sessions.session_started_at,
        sessions.is_session_start,
        sessions.event_name,
        sessions.occurred_at,
        sessions.occurred_on,
        sessions.received_at,
        sessions.known_at,
        sessions.product_id,
        sessions.category,
        sessions.order_id,
        sessions.page_url,
        sessions.campaign_name,
        sessions.load_id,
        sessions.row_number,
        {{ row_fingerprint([
            'sessions.load_id', 'sessions.row_number', 'sessions.delivery', 'sessions.session_started_at', 'sessions.is_session_start'
        ]) }} as fingerprint,
        cast({{ made_by(web_rules()) }} as bigint) as made_by
    from sessions
)

select * from final
