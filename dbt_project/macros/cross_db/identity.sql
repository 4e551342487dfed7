{#-
    bigint: a number for an identity node, quick to join by. It holds within one build on one engine only (DuckDB's hash may
    change between versions), so nothing that outlives a build may keep it; int_identity__identifiers tests that it is unique.
-#}
{%- macro node_key(identifier_type, identifier_value) -%}{{ return(adapter.dispatch('node_key', 'mailwright')(identifier_type, identifier_value)) }}{%- endmacro -%}
{#- DuckDB: 63 bits of its own hash (ubigint), twenty times as quick as md5. -#}
{%- macro default__node_key(identifier_type, identifier_value) -%}
    cast(hash({{ identifier_type }}, {{ identifier_value }}) >> 1 as bigint)
{%- endmacro -%}
{#- PostgreSQL: the first 64 bits of md5. -#}
{%- macro postgres__node_key(identifier_type, identifier_value) -%}
    cast(cast('x' || substr({{ node_hash(identifier_type, identifier_value) }}, 1, 16) as bit(64)) as bigint)
{%- endmacro -%}

{#- A table of this session alone, gone with it. DuckDB and PostgreSQL. -#}
{%- macro create_working_table(name, sql) -%}
    {%- do run_query("drop table if exists " ~ name) -%}
    {%- do run_query("create temporary table " ~ name ~ " as " ~ sql) -%}
    {%- do analyze_working_table(name) -%}
{%- endmacro -%}
{%- macro analyze_working_table(name) -%}{{ return(adapter.dispatch('analyze_working_table', 'mailwright')(name)) }}{%- endmacro -%}
{%- macro default__analyze_working_table(name) -%}{%- endmacro -%}
{#- PostgreSQL plans by statistics, and a new table has none. -#}
{%- macro postgres__analyze_working_table(name) -%}{%- do run_query("analyze " ~ name) -%}{%- endmacro -%}

{#- bigint: a number for the values of a row, to see whether they changed. Like node_key, it holds on one engine only. -#}
{%- macro row_fingerprint(columns) -%}{{ return(adapter.dispatch('row_fingerprint', 'mailwright')(columns)) }}{%- endmacro -%}
{%- macro default__row_fingerprint(columns) -%}cast(hash({{ columns | join(', ') }}) >> 1 as bigint){%- endmacro -%}
{%- macro postgres__row_fingerprint(columns) -%}
    cast(cast('x' || substr(md5(
        {%- for column in columns %}
        coalesce(cast({{ column }} as text), '') {{- " || '|' || " if not loop.last }}
        {%- endfor %}
    ), 1, 16) as bit(64)) as bigint)
{%- endmacro -%}
