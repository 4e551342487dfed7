{#- timestamp: n may be an integer or an integer expression. -#}
{%- macro add_seconds(column, n) -%}{{ return(adapter.dispatch('add_unit', 'mailwright')(column, n, 'second')) }}{%- endmacro -%}
{%- macro add_minutes(column, n) -%}{{ return(adapter.dispatch('add_unit', 'mailwright')(column, n, 'minute')) }}{%- endmacro -%}
{%- macro add_hours(column, n) -%}{{ return(adapter.dispatch('add_unit', 'mailwright')(column, n, 'hour')) }}{%- endmacro -%}
{%- macro add_microseconds(column, n) -%}{{ return(adapter.dispatch('add_unit', 'mailwright')(column, n, 'microsecond')) }}{%- endmacro -%}

{#- DuckDB and PostgreSQL both return timestamp: an interval of one unit times an integer. -#}
{%- macro default__add_unit(column, n, unit) -%}
    ({{ column }} + ({{ n }}) * interval '1 {{ unit }}')
{%- endmacro -%}

{#- date: a whole number of days later (earlier if negative). DuckDB and PostgreSQL return date. -#}
{%- macro add_days(column, n) -%}{{ return(adapter.dispatch('add_days', 'mailwright')(column, n)) }}{%- endmacro -%}
{%- macro default__add_days(column, n) -%}
    ({{ column }} + cast(({{ n }}) as integer))
{%- endmacro -%}

{#- integer: whole days from one date to another. -#}
{%- macro days_between(from_date, to_date) -%}{{ return(adapter.dispatch('days_between', 'mailwright')(from_date, to_date)) }}{%- endmacro -%}
{#- DuckDB: date - date is bigint; cast. PostgreSQL: date - date is integer. -#}
{%- macro default__days_between(from_date, to_date) -%}
    cast(({{ to_date }} - {{ from_date }}) as integer)
{%- endmacro -%}

{#- double precision: seconds from one timestamp to another, microsecond exact. -#}
{%- macro seconds_between(from_at, to_at) -%}{{ return(adapter.dispatch('seconds_between', 'mailwright')(from_at, to_at)) }}{%- endmacro -%}
{%- macro default__seconds_between(from_at, to_at) -%}
    (cast(date_diff('microsecond', {{ from_at }}, {{ to_at }}) as double precision) / 1000000.0)
{%- endmacro -%}
{%- macro postgres__seconds_between(from_at, to_at) -%}
    cast(extract(epoch from ({{ to_at }} - {{ from_at }})) as double precision)
{%- endmacro -%}

{#- date: the calendar day of a UTC instant in a declared zone (default var business_time_zone). -#}
{%- macro local_date(column, time_zone=none) -%}{{ return(adapter.dispatch('local_date', 'mailwright')(column, time_zone or var('business_time_zone'))) }}{%- endmacro -%}
{#- DuckDB (icu) and PostgreSQL: timestamp at UTC → timestamptz → timestamp in the zone → date. -#}
{%- macro default__local_date(column, time_zone) -%}
    {%- if time_zone == 'UTC' -%}
    cast({{ column }} as date)
    {%- else -%}
    cast((({{ column }} at time zone 'UTC') at time zone '{{ time_zone }}') as date)
    {%- endif -%}
{%- endmacro -%}

{#- date: the calendar day of a UTC instant in the zone that an expression names (a zone that the engine knows). -#}
{%- macro local_date_in(column, zone) -%}{{ return(adapter.dispatch('local_date_in', 'mailwright')(column, zone)) }}{%- endmacro -%}
{%- macro default__local_date_in(column, zone) -%}
    cast((({{ column }} at time zone 'UTC') at time zone {{ zone }}) as date)
{%- endmacro -%}

{#- integer: the hour (0 to 23) of a UTC instant on the clocks of the zone that an expression names. -#}
{%- macro local_hour_in(column, zone) -%}{{ return(adapter.dispatch('local_hour_in', 'mailwright')(column, zone)) }}{%- endmacro -%}
{%- macro default__local_hour_in(column, zone) -%}
    cast(extract(hour from (({{ column }} at time zone 'UTC') at time zone {{ zone }})) as integer)
{%- endmacro -%}

{#- integer: the weekday of a date, 1 (Monday) to 7. -#}
{%- macro iso_weekday(day) -%}{{ return(adapter.dispatch('iso_weekday', 'mailwright')(day)) }}{%- endmacro -%}
{%- macro default__iso_weekday(day) -%}cast(extract(isodow from {{ day }}) as integer){%- endmacro -%}

{#- relation with a column `zone` (text): the names of time zones that the engine knows. -#}
{%- macro known_time_zones() -%}{{ return(adapter.dispatch('known_time_zones', 'mailwright')()) }}{%- endmacro -%}
{%- macro default__known_time_zones() -%}(select distinct zones.name as zone from pg_timezone_names() as zones){%- endmacro -%}

{#- integer: the year of a date. -#}
{%- macro calendar_year(day) -%}{{ return(adapter.dispatch('calendar_year', 'mailwright')(day)) }}{%- endmacro -%}
{%- macro default__calendar_year(day) -%}cast(extract(year from {{ day }}) as integer){%- endmacro -%}

{#- date: the same day so many years later; 29 February is the 28th in common years. DuckDB and PostgreSQL both return date after the cast. -#}
{%- macro add_years(day, n) -%}{{ return(adapter.dispatch('add_years', 'mailwright')(day, n)) }}{%- endmacro -%}
{%- macro default__add_years(day, n) -%}cast({{ day }} + ({{ n }}) * interval '1 year' as date){%- endmacro -%}
