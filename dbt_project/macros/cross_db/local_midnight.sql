{#-
    timestamp at UTC: the instant at which a local day begins, in a declared zone. Where clocks are set back over midnight and the day
    begins twice, the first time: so every event of the day comes after it. (Clocks that are set back a minute after midnight, as in
    parts of Canada until 2011, leave that first minute outside.)
-#}
{%- macro local_midnight(day, time_zone=none) -%}{{ return(adapter.dispatch('local_midnight', 'mailwright')(day, time_zone or var('business_time_zone'))) }}{%- endmacro -%}
{#-
    DuckDB (icu) and PostgreSQL: date → timestamp in the zone → timestamptz → timestamp at UTC. Either names an hour that comes twice by
    its second instant; the last second of the day before, which comes once then, tells the first.
-#}
{%- macro default__local_midnight(day, time_zone) -%}
    {%- if time_zone == 'UTC' -%}
    cast({{ day }} as timestamp)
    {%- else -%}
    least(
        (cast({{ day }} as timestamp) at time zone '{{ time_zone }}') at time zone 'UTC',
        ((cast({{ day }} as timestamp) - interval '1 second') at time zone '{{ time_zone }}') at time zone 'UTC' + interval '1 second'
    )
    {%- endif -%}
{%- endmacro -%}
