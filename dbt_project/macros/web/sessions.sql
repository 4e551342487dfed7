{#- boolean: an event begins a session: it is the first of its device, or var session_inactivity_minutes have passed in silence. -#}
{%- macro begins_session(occurred_at, previous_at) -%}
    coalesce({{ occurred_at }} > {{ add_minutes(previous_at, var('session_inactivity_minutes')) }}, true)
{%- endmacro -%}
