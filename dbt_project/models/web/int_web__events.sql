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

with staged as {{ in_place() if not some_days }} (
    select * from {{ ref('stg_web__events') }}
),

-- of some days by itself: most of what is stored need not be read
events as {{ written_down() if some_days else in_place() }} (
    select * from staged
    {%- if some_days %}
    where
        {{ within_days('staged.occurred_at') }}
        and {{ local_date('staged.occurred_at') }} in (select days.occurred_on from {{ working_table('days') }} as days)
    {%- endif %}
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

counted as {{ in_place() if not some_days }} (
    select
        {%- for column in own_columns %}
        delivered.{{ column }},
        {%- endfor %}
        coalesce(ranked.delivery, 1) as delivery,
        coalesce(ranked.n_deliveries, 1) as n_deliveries
    from delivered
    left join ranked on delivered.load_id = ranked.load_id and delivered.row_number = ranked.row_number
    {%- if some_days %}
    union all
    select
        {%- for column in own_columns %}
        carried.{{ column }},
        {%- endfor %}
        carried.delivery,
        carried.n_deliveries
    from {{ working_table('carried') }} as carried
    {%- endif %}
),

-- sorted are instants of devices alone, not rows with all that they say; further deliveries are of no session
instants as (
    select
        counted.device,
        counted.occurred_at,
        counted.occurred_on,
        counted.web_event_id
        {%- if some_days %},
        cast(null as timestamp) as session_started_at
        {%- endif %}
    from counted
    where counted.delivery = 1
    {%- if some_days %}
    union all
    -- an event before the days done again knows when its session began
    select
        before.device,
        before.occurred_at,
        before.occurred_on,
        before.web_event_id,
        before.session_started_at
    from {{ working_table('before') }} as before
    {%- endif %}
),

spaced as (
    select
        instants.*,
        lag(instants.occurred_at) over (
            partition by instants.device order by instants.occurred_at asc, instants.web_event_id asc
        ) as previous_at,
        lag(instants.occurred_on) over (
            partition by instants.device order by instants.occurred_at asc, instants.web_event_id asc
        ) as previous_on
    from instants
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

-- where a session begins, or a day: from there to the next of them a device's events of that day are of one session
stretches as (
    select
        marked.device,
        marked.occurred_on,
        marked.occurred_at as from_at,
        case when marked.begins then marked.web_event_id end as first_event_id,
        lead(marked.occurred_at) over (partition by marked.device order by marked.occurred_at asc) as next_at,
        max(
            {%- if some_days %}
            case when marked.session_started_at is not null then marked.session_started_at when marked.begins then marked.occurred_at end
            {%- else %}
            case when marked.begins then marked.occurred_at end
            {%- endif %}
        ) over (
            partition by marked.device order by marked.occurred_at asc rows between unbounded preceding and current row
        ) as session_started_at
    from marked
    where
        marked.begins
        or marked.occurred_on <> marked.previous_on
        {%- if some_days %}
        or marked.session_started_at is not null
        {%- endif %}
),

named as (
    select
        stretches.*,
        -- without a next one: for good
        coalesce(stretches.next_at, cast('9999-12-31' as timestamp)) as until_at,
        {{ hash_key(['stretches.device', 'stretches.session_started_at']) }} as session_id
    from stretches
),

placed as {{ in_place() }} (
    select
        counted.*,
        case when counted.delivery = 1 then counted.device end as session_of
    from counted
),

sessions as (
    select
        placed.*,
        named.session_started_at,
        named.session_id,
        coalesce(placed.web_event_id = named.first_event_id, false) as is_session_start
    from placed
    left join named
        on placed.session_of = named.device
        and placed.occurred_on = named.occurred_on
        and placed.occurred_at >= named.from_at
        and placed.occurred_at < named.until_at
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
