{#-
    The given type, or null where the text cannot be read as it. `data_type` is bigint or numeric(p,s).
    PostgreSQL has no try_cast before 16: a pattern decides there.
-#}
{%- macro safe_cast_number(expression, data_type) -%}{{ return(adapter.dispatch('safe_cast_number', 'mailwright')(expression, data_type)) }}{%- endmacro -%}

{#- DuckDB: try_cast would read '1e3' and ' 7'; the pattern keeps both engines to plain decimals. -#}
{%- macro default__safe_cast_number(expression, data_type) -%}
    case when {{ regex_matches(expression, number_pattern(data_type)) }} then cast({{ expression }} as {{ data_type }}) end
{%- endmacro -%}

{%- macro number_pattern(data_type) -%}
    {%- if data_type == 'bigint' -%}^-?[0-9]+${%- else -%}^-?[0-9]+([.][0-9]+)?${%- endif -%}
{%- endmacro -%}

{#- double precision: a ratio with a null, not an error, for a zero denominator. -#}
{%- macro ratio(numerator, denominator) -%}
    (cast({{ numerator }} as double precision) / nullif(cast({{ denominator }} as double precision), 0))
{%- endmacro -%}

{#- bigint: the number that eight hexadecimal digits (text) write. -#}
{%- macro hex_number(digits) -%}{{ return(adapter.dispatch('hex_number', 'mailwright')(digits)) }}{%- endmacro -%}
{%- macro default__hex_number(digits) -%}cast('0x' || {{ digits }} as bigint){%- endmacro -%}
{%- macro postgres__hex_number(digits) -%}cast(cast('x' || {{ digits }} as bit(32)) as bigint){%- endmacro -%}

{#- boolean: a double precision is a number: neither NaN, which both engines sort above all others, nor infinite. Null for null. -#}
{%- macro is_finite(expression) -%}(abs({{ expression }}) < cast('infinity' as double precision)){%- endmacro -%}
