{#- text: the value at a path of object keys (list of str) in a JSON text column; null where absent or JSON null. -#}
{%- macro json_text(column, path) -%}
    {{ return(adapter.dispatch('json_text', 'mailwright')(column, path)) }}
{%- endmacro -%}

{#- DuckDB returns varchar. -#}
{%- macro default__json_text(column, path) -%}
    json_extract_string({{ column }}, '$."{{ path | join('"."') }}"')
{%- endmacro -%}

{#- PostgreSQL returns text. -#}
{%- macro postgres__json_text(column, path) -%}
    (cast({{ column }} as json) #>> '{{ "{" ~ (path | join(",")) ~ "}" }}')
{%- endmacro -%}
