{#-
    The two clocks lie in a one-row table of the target schema (source control.clock), so that the same compiled SQL serves
    today's build, a past build and partial parsing. Each macro below is a scalar subquery.
-#}

{#- timestamp: the present of event time. An instant equal to it is the future. -#}
{%- macro as_of() -%}
    (select control_clock.as_of from {{ source('control', 'clock') }} as control_clock)
{%- endmacro -%}

{#- timestamp: what had arrived by then is known. -#}
{%- macro known_at() -%}
    (select control_clock.known_at from {{ source('control', 'clock') }} as control_clock)
{%- endmacro -%}

{#- date: the local day of the last instant before as_of. A window of N days is activity_on > as_of_on - N. -#}
{%- macro as_of_on() -%}
    (select {{ local_date(add_microseconds('control_clock.as_of', -1)) }} from {{ source('control', 'clock') }} as control_clock)
{%- endmacro -%}

{#-
    timestamp expression: the instant at which the warehouse knew the row, by var known_at[source_name].
    A stream without an arrival time falls back on the load.
-#}
{%- macro known_at_of(source_name, event_at, received_at=none, loaded_at='source._loaded_at') -%}
    {%- set choice = var('known_at')[source_name] -%}
    {%- if choice == 'event_at' -%}
        {{ event_at }}
    {%- elif choice == 'received_at' -%}
        {%- if received_at is none -%}
            {{ exceptions.raise_compiler_error("vars.known_at: source '" ~ source_name ~ "' has no received_at; use event_at or loaded_at") }}
        {%- endif -%}
        coalesce({{ received_at }}, {{ loaded_at }})
    {%- elif choice == 'loaded_at' -%}
        {{ loaded_at }}
    {%- else -%}
        {{ exceptions.raise_compiler_error("vars.known_at: '" ~ choice ~ "' for source '" ~ source_name ~ "' is none of event_at, received_at, loaded_at") }}
    {%- endif -%}
{%- endmacro -%}

{#- boolean: the row had happened and was known (happened strictly before as_of, arrived by known_at). -#}
{%- macro visible(source_name, event_at, received_at=none, loaded_at='source._loaded_at') -%}
    {{ event_at }} < {{ as_of() }}
    and {{ known_at_of(source_name, event_at, received_at, loaded_at) }} <= {{ known_at() }}
{%- endmacro -%}
