{#-
  The vocabulary of segments. Each macro returns a query with a column profile_id. Windows in hours hold the instants t
  with as_of - N hours <= t < as_of; windows in days hold whole local days d with d > as_of_on - N.
-#}

{#- Who did a web event (its name in fct_web_events: 'page', 'Product Viewed', …) in a window; `where` is any further
    SQL condition on the event, e.g. "category = 'Garden'". -#}
{% macro did_event(event, last_hours=none, last_days=none, where=none) -%}
select events.profile_id
from {{ ref('fct_web_events') }} as events
where
    events.profile_id is not null
    and events.event_name = '{{ event }}'
    and {{ in_window('events.occurred_at', 'events.occurred_on', last_hours, last_days) }}
    {%- if where %}
    and ({{ where }})
    {%- endif %}
{%- endmacro %}


{#- Whose newest event of this name is at least `after_hours` and less than `until_hours` old, with no order placed
    since (whether or not it was sent back later). -#}
{% macro left_behind(event, after_hours, until_hours) -%}
select latest_events.profile_id
from (
    select
        events.profile_id,
        max(events.occurred_at) as occurred_at
    from {{ ref('fct_web_events') }} as events
    where
        events.profile_id is not null
        and events.event_name = '{{ event }}'
    group by events.profile_id
) as latest_events
where
    latest_events.occurred_at <= {{ add_hours(as_of(), -1 * after_hours) }}
    and latest_events.occurred_at > {{ add_hours(as_of(), -1 * until_hours) }}
    and not exists (
        select 1
        from {{ ref('fct_orders') }} as orders
        where
            orders.profile_id = latest_events.profile_id
            and orders.ordered_at >= latest_events.occurred_at
    )
{%- endmacro %}


{#- Who opened a mail in a window, as a human. -#}
{% macro human_opened(last_hours=none, last_days=none) -%}
select events.profile_id
from {{ ref('fct_email_events') }} as events
where
    events.profile_id is not null
    and events.event_type = 'open'
    and not events.is_machine
    and {{ in_window('events.occurred_at', 'events.occurred_on', last_hours, last_days) }}
{%- endmacro %}


{#- Whose features (profile_features) satisfy a SQL condition. -#}
{% macro has_features(condition) -%}
select features.profile_id
from {{ ref('profile_features') }} as features
where {{ condition }}
{%- endmacro %}


{#- Whose stages (lifecycle_stages) satisfy a SQL condition. -#}
{% macro in_stage(condition) -%}
select stages.profile_id
from {{ ref('lifecycle_stages') }} as stages
where {{ condition }}
{%- endmacro %}


{#- Who lies in one of these RFM cells. -#}
{% macro in_rfm_cell(cells) -%}
select scores.profile_id
from {{ ref('rfm_scores') }} as scores
where scores.rfm_cell in ('{{ cells | join("', '") }}')
{%- endmacro %}


{#- Who lives in a city, as stated; case and outer blanks aside. -#}
{% macro lives_in(city) -%}
select profiles.profile_id
from {{ ref('dim_profiles') }} as profiles
where lower(trim(profiles.city)) = '{{ city | lower | replace("'", "''") }}'
{%- endmacro %}


{#- Who stated an interest in a topic; case aside. -#}
{% macro interested_in(topic) -%}
select interests.profile_id
from {{ ref('profile_interests') }} as interests
where lower(trim(interests.interest)) = '{{ topic | lower | replace("'", "''") }}'
{%- endmacro %}


{% macro in_window(instant, day, last_hours, last_days) -%}
    {%- if (last_hours is none) and (last_days is none) -%}
        true
    {%- elif last_hours is not none and last_days is not none -%}
        {{ exceptions.raise_compiler_error("A window is given in last_hours or in last_days, not in both.") }}
    {%- elif last_hours is not none -%}
        {{ instant }} >= {{ add_hours(as_of(), -1 * last_hours) }}
    {%- else -%}
        {{ day }} > {{ add_days(as_of_on(), -1 * last_days) }}
    {%- endif -%}
{%- endmacro %}
