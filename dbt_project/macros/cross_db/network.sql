{#- bigint: an IPv4 address (text a.b.c.d) as a number; null for anything else. DuckDB and PostgreSQL. -#}
{%- macro ipv4_number(column) -%}
    {%- set octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])' -%}
    {%- set is_address = regex_matches(column, '^' ~ octet ~ '([.]' ~ octet ~ '){3}$') -%}
    {#- what is no address is replaced before it is read: an engine may cast what a case does not choose -#}
    {%- set address = "case when " ~ is_address ~ " then " ~ column ~ " else '0.0.0.0' end" -%}
    case
        when {{ is_address }}
            then
                {%- for part in range(1, 5) %}
                cast(split_part({{ address }}, '.', {{ part }}) as bigint) * {{ 256 ** (4 - part) }}{{ ' +' if not loop.last }}
                {%- endfor %}
    end
{%- endmacro -%}

{#- bigint: how many addresses a network of IPv4 (text a.b.c.d/bits) has. An address n is of it if n - n % size is its first. -#}
{%- macro ipv4_network_size(network) -%}
    cast(power(2, 32 - cast(split_part({{ network }}, '/', 2) as integer)) as bigint)
{%- endmacro -%}
