{#-
    Several non-negative sums in one number, so that one aggregate carries what would be five: an aggregate per window and measure is
    most of what grouping millions of people costs. Each field has 24 bits (a sum below 16.7 million), the highest, 4, has 31.
-#}

{#- hugeint (DuckDB), numeric (PostgreSQL): what a value is multiplied by to be in each of the fields (a list of numbers from 0). -#}
{%- macro packing_factor(fields) -%}
    {%- set factor = namespace(value=0) -%}
    {%- for field in fields -%}{%- set factor.value = factor.value + 2 ** (24 * field) -%}{%- endfor -%}
    {{ return(adapter.dispatch('wide_integer', 'mailwright')(factor.value)) }}
{%- endmacro -%}
{%- macro default__wide_integer(value) -%}cast({{ value }} as hugeint){%- endmacro -%}
{%- macro postgres__wide_integer(value) -%}cast({{ value }} as numeric){%- endmacro -%}

{#- bigint: the sum in a field of packed sums; 0 of none. -#}
{%- macro unpacked(sums, field) -%}{{ return(adapter.dispatch('unpacked', 'mailwright')(sums, field)) }}{%- endmacro -%}
{#- DuckDB: by shifts; a division of hugeint takes twenty times as long. -#}
{%- macro default__unpacked(sums, field) -%}
    cast(coalesce(({{ sums }} >> {{ 24 * field }}) {{- ' & 16777215' if field < 4 }}, 0) as bigint)
{%- endmacro -%}
{%- macro postgres__unpacked(sums, field) -%}
    {%- set shifted = 'div(' ~ sums ~ ', ' ~ 2 ** (24 * field) ~ ')' -%}
    cast(coalesce({{ 'mod(' ~ shifted ~ ', 16777216)' if field < 4 else shifted }}, 0) as bigint)
{%- endmacro -%}
