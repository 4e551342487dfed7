{#- timestamp: the UTC instant at which a calendar day of a declared zone begins (default var business_time_zone). -#}
{%- macro local_midnight(day, time_zone=none) -%}{{ return(adapter.dispatch('local_midnight', 'mailwright')(day, time_zone or var('business_time_zone'))) }}{%- endmacro -%}
{#- DuckDB (icu) and PostgreSQL: date → timestamp in the zone → timestamptz → timestamp at UTC. -#}
{%- macro default__local_midnight(day, time_zone) -%}
    {%- if time_zone == 'UTC' -%}
    cast({{ day }} as timestamp)
    {%- else -%}
    ((cast({{ day }} as timestamp) at time zone '{{ time_zone }}') at time zone 'UTC')
    {%- endif -%}
{%- endmacro -%}
