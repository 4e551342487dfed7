{#-
    What profiles did on a day (cutoff_number, profile_id, activity_on, the measures of activity_measures, n_demo_requests,
    last_session_at, last_human_email_at, last_human_activity_at), as a build at the cut-off would have counted it: one row per
    identifier and day, whose measures add up. `cutoffs` and `links` are relations of the macros cutoffs_at and links_at,
    `shop_lines` of shop_lines_at; `key` is another column of links that stands for the profile.

    Days come from the rollup. The cut-off's own day, if it ends in its midst, days of which something was known later, and days of
    buyers whose orders were others are counted again from the events and lines. A late event may have joined, begun or moved a session: the sessions it is in now are cut again where
    those known by then leave a gap, and all days they touch are counted again. What a machine's open or click is stays as judged today.

    is_now: the cut-off is the clock, which nothing came after. Known while compiling, it spares reading the facts to find that out.
-#}
{%- macro activity_at(cutoffs, links, shop_lines, key='profile_id', is_now=false) -%}
{%- set measures = activity_measures().values() | list + ['n_demo_requests'] -%}
{%- set counted_of_web = {
    'n_page_views': "web_events.event_name = 'page'",
    'n_product_views': "web_events.event_name = 'Product Viewed'",
    'n_cart_adds': "web_events.event_name = 'Product Added'",
    'n_demo_requests': "web_events.event_name = 'Demo Requested'",
} -%}
{%- set counted_of_mail = {
    'n_emails_delivered': "email_events.event_type = 'delivered'",
    'n_human_opens': "email_events.event_type = 'open' and not email_events.is_machine",
    'n_human_clicks': "email_events.event_type = 'click' and not email_events.is_machine",
} -%}
with identifier_days as {{ in_place() }} (
    select * from {{ ref('identifier_daily') }}
)
{%- if is_now %}

select
    links.cutoff_number,
    links.{{ key }},
    identifier_days.activity_on,
    {%- for measure in measures %}
    identifier_days.{{ measure }},
    {%- endfor %}
    identifier_days.last_session_at,
    identifier_days.last_human_email_at,
    identifier_days.last_human_activity_at
from {{ links }} as links
inner join {{ cutoffs }} as cutoffs on links.cutoff_number = cutoffs.cutoff_number
inner join identifier_days
    on
        links.identifier_type = identifier_days.identifier_type
        and links.identifier_value = identifier_days.identifier_value
        and cutoffs.as_of_on >= identifier_days.activity_on
{%- else %},

web_events as {{ in_place() }} (
    select * from {{ ref('fct_web_events') }}
),

email_events as {{ in_place() }} (
    select * from {{ ref('fct_email_events') }}
),

unsettled as {{ in_place() }} (
    select * from {{ ref('int_features__unsettled_orders') }}
),

past as (
    select * from {{ cutoffs }}
    where is_past
),

-- of everybody: a session may have begun under a name that is nobody's yet
doubtful_days as (
    select
        past.cutoff_number,
        past.as_of,
        past.known_at,
        identifier_days.identifier_type,
        identifier_days.identifier_value,
        identifier_days.activity_on
    from past
    inner join identifier_days
        on
            (past.known_at < identifier_days.known_through and past.as_of_on >= identifier_days.activity_on)
            or (past.cuts_a_day and past.as_of_on = identifier_days.activity_on)
),

-- whoever ordered, even if it was cancelled later or sent back, or brought something back, was there
shop_days as (
    select distinct
        past.cutoff_number,
        past.as_of,
        past.known_at,
        identifier_days.identifier_type,
        identifier_days.identifier_value,
        identifier_days.activity_on
    from past
    inner join unsettled
        on
            past.as_of > unsettled.happened_at
            and (past.as_of <= unsettled.settled_at or past.known_at < unsettled.known_through)
    inner join identifier_days
        on
            unsettled.identifier_type = identifier_days.identifier_type
            and unsettled.identifier_value = identifier_days.identifier_value
            and past.as_of_on >= identifier_days.activity_on
    where identifier_days.last_human_activity_at is not null
    union distinct
    select
        past.cutoff_number,
        past.as_of,
        past.known_at,
        lines_again.identifier_type,
        lines_again.identifier_value,
        lines_again.ordered_on as activity_on
    from past
    inner join {{ shop_lines }} as lines_again on past.cutoff_number = lines_again.cutoff_number
    where lines_again.is_made_again and lines_again.identifier_value is not null
),

late_sessions as (
    select distinct
        doubtful_days.cutoff_number,
        doubtful_days.as_of,
        doubtful_days.known_at,
        web_events.session_id
    from doubtful_days
    inner join web_events
        on
            doubtful_days.identifier_type = web_events.identifier_type
            and doubtful_days.identifier_value = web_events.identifier_value
            and doubtful_days.activity_on = web_events.occurred_on
            and doubtful_days.as_of > web_events.occurred_at
            and doubtful_days.known_at < web_events.known_at
    where web_events.session_id is not null
),

spaced as (
    select
        late_sessions.cutoff_number,
        late_sessions.as_of,
        late_sessions.known_at,
        web_events.web_event_id,
        web_events.identifier_type,
        web_events.identifier_value,
        web_events.occurred_on,
        web_events.occurred_at,
        lag(web_events.occurred_at) over (
            partition by late_sessions.cutoff_number, web_events.session_id
            order by web_events.occurred_at asc nulls last, web_events.web_event_id asc
        ) as previous_at
    from late_sessions
    inner join web_events
        on
            late_sessions.session_id = web_events.session_id
            and late_sessions.as_of > web_events.occurred_at
            and late_sessions.known_at >= web_events.known_at
),

cut_again as (
    select
        spaced.cutoff_number,
        spaced.web_event_id,
        {{ begins_session('spaced.occurred_at', 'spaced.previous_at') }} as is_session_start
    from spaced
),

days_again as (
    select * from doubtful_days
    union distinct
    select * from shop_days
    union distinct
    select
        spaced.cutoff_number,
        spaced.as_of,
        spaced.known_at,
        spaced.identifier_type,
        spaced.identifier_value,
        spaced.occurred_on as activity_on
    from spaced
    where spaced.identifier_value is not null
),

events_again as (
    select
        days_again.cutoff_number,
        days_again.identifier_type,
        days_again.identifier_value,
        days_again.activity_on,
        {%- for measure in measures %}
        {%- if measure == 'n_sessions' %}
        case when coalesce(cut_again.is_session_start, web_events.is_session_start) then 1 else 0 end as n_sessions,
        {%- elif measure in counted_of_web %}
        case when {{ counted_of_web[measure] }} then 1 else 0 end as {{ measure }},
        {%- else %}
        0 as {{ measure }},
        {%- endif %}
        {%- endfor %}
        web_events.occurred_at as last_session_at,
        cast(null as timestamp) as last_human_email_at,
        web_events.occurred_at as last_human_activity_at
    from days_again
    inner join web_events
        on
            days_again.identifier_type = web_events.identifier_type
            and days_again.identifier_value = web_events.identifier_value
            and days_again.activity_on = web_events.occurred_on
            and days_again.as_of > web_events.occurred_at
            and days_again.known_at >= web_events.known_at
    left join cut_again
        on
            days_again.cutoff_number = cut_again.cutoff_number
            and web_events.web_event_id = cut_again.web_event_id
    union all
    select
        days_again.cutoff_number,
        days_again.identifier_type,
        days_again.identifier_value,
        days_again.activity_on,
        {%- for measure in measures %}
        {%- if measure in counted_of_mail %}
        case when {{ counted_of_mail[measure] }} then 1 else 0 end as {{ measure }},
        {%- else %}
        0 as {{ measure }},
        {%- endif %}
        {%- endfor %}
        cast(null as timestamp) as last_session_at,
        {%- for instant in ['last_human_email_at', 'last_human_activity_at'] %}
        case when email_events.event_type in ('open', 'click') and not email_events.is_machine then email_events.occurred_at end
            as {{ instant }}{{ ',' if not loop.last }}
        {%- endfor %}
    from days_again
    inner join email_events
        on
            days_again.identifier_type = email_events.identifier_type
            and days_again.identifier_value = email_events.identifier_value
            and days_again.activity_on = email_events.occurred_on
            and days_again.as_of > email_events.occurred_at
            and days_again.known_at >= email_events.known_at
    union all
    select
        days_again.cutoff_number,
        days_again.identifier_type,
        days_again.identifier_value,
        days_again.activity_on,
        {%- for measure in measures %}
        0 as {{ measure }},
        {%- endfor %}
        cast(null as timestamp) as last_session_at,
        cast(null as timestamp) as last_human_email_at,
        lines_again.ordered_at as last_human_activity_at
    from days_again
    inner join {{ shop_lines }} as lines_again
        on
            days_again.cutoff_number = lines_again.cutoff_number
            and days_again.identifier_type = lines_again.identifier_type
            and days_again.identifier_value = lines_again.identifier_value
            and days_again.activity_on = lines_again.ordered_on
),

counted_again as (
    select
        events_again.cutoff_number,
        events_again.identifier_type,
        events_again.identifier_value,
        events_again.activity_on,
        {%- for measure in measures %}
        cast(sum(events_again.{{ measure }}) as bigint) as {{ measure }},
        {%- endfor %}
        max(events_again.last_session_at) as last_session_at,
        max(events_again.last_human_email_at) as last_human_email_at,
        max(events_again.last_human_activity_at) as last_human_activity_at
    from events_again
    group by
        events_again.cutoff_number, events_again.identifier_type, events_again.identifier_value, events_again.activity_on
)

-- nothing came after the clock: no day of it is looked for among those counted again
select
    links.cutoff_number,
    links.{{ key }},
    identifier_days.activity_on,
    {%- for measure in measures %}
    identifier_days.{{ measure }},
    {%- endfor %}
    identifier_days.last_session_at,
    identifier_days.last_human_email_at,
    identifier_days.last_human_activity_at
from {{ links }} as links
inner join {{ cutoffs }} as cutoffs on links.cutoff_number = cutoffs.cutoff_number
inner join identifier_days
    on
        links.identifier_type = identifier_days.identifier_type
        and links.identifier_value = identifier_days.identifier_value
        and cutoffs.as_of_on >= identifier_days.activity_on
where not cutoffs.is_past
union all
select
    links.cutoff_number,
    links.{{ key }},
    identifier_days.activity_on,
    {%- for measure in measures %}
    identifier_days.{{ measure }},
    {%- endfor %}
    identifier_days.last_session_at,
    identifier_days.last_human_email_at,
    identifier_days.last_human_activity_at
from {{ links }} as links
inner join {{ cutoffs }} as cutoffs on links.cutoff_number = cutoffs.cutoff_number
inner join identifier_days
    on
        links.identifier_type = identifier_days.identifier_type
        and links.identifier_value = identifier_days.identifier_value
        and cutoffs.as_of_on >= identifier_days.activity_on
left join days_again
    on
        links.cutoff_number = days_again.cutoff_number
        and links.identifier_type = days_again.identifier_type
        and links.identifier_value = days_again.identifier_value
        and identifier_days.activity_on = days_again.activity_on
where cutoffs.is_past and days_again.cutoff_number is null
union all
select
    links.cutoff_number,
    links.{{ key }},
    counted_again.activity_on,
    {%- for measure in measures %}
    counted_again.{{ measure }},
    {%- endfor %}
    counted_again.last_session_at,
    counted_again.last_human_email_at,
    counted_again.last_human_activity_at
from counted_again
inner join {{ links }} as links
    on
        counted_again.cutoff_number = links.cutoff_number
        and counted_again.identifier_type = links.identifier_type
        and counted_again.identifier_value = links.identifier_value
{%- endif %}
{%- endmacro -%}
