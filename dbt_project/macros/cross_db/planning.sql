{#-
    Statement (or nothing) that runs before a model is built. Every model transforms whole tables, and PostgreSQL knows nothing of
    the sizes behind a materialized CTE: its guess of "a few rows" turns joins of two large CTEs into nested loops that take
    minutes. Without them it hashes. The setting ends with the model's transaction.
-#}
{%- macro before_model() -%}{{ return(adapter.dispatch('before_model', 'mailwright')()) }}{%- endmacro -%}
{%- macro default__before_model() -%}{%- endmacro -%}
{#- PostgreSQL: and no just-in-time compilation: a model has many expressions and runs once, so compiling them takes longest. -#}
{%- macro postgres__before_model() -%}set local enable_nestloop = off; set local jit = off{%- endmacro -%}

{#- Statement (or nothing) that runs after a table is built: PostgreSQL learns its statistics for the models and tests below. -#}
{%- macro after_model(relation) -%}{{ return(adapter.dispatch('after_model', 'mailwright')(relation)) }}{%- endmacro -%}
{%- macro default__after_model(relation) -%}{%- endmacro -%}
{%- macro postgres__after_model(relation) -%}
    {%- if model.config.materialized != 'view' -%}analyze {{ relation }}{%- endif -%}
{%- endmacro -%}

{#-
    Keywords of a CTE that is read where it stands. DuckDB and PostgreSQL write one down that is read twice: for an import of a large
    table that takes longer than to read the table twice, and memory for all its columns.
-#}
{%- macro in_place() -%}{{ return(adapter.dispatch('in_place', 'mailwright')()) }}{%- endmacro -%}
{%- macro default__in_place() -%}{%- endmacro -%}
{%- macro duckdb__in_place() -%}not materialized{%- endmacro -%}
{%- macro postgres__in_place() -%}not materialized{%- endmacro -%}

{#- Keywords of a CTE that is made by itself, before the query that reads it is planned. -#}
{%- macro written_down() -%}{{ return(adapter.dispatch('written_down', 'mailwright')()) }}{%- endmacro -%}
{%- macro default__written_down() -%}{%- endmacro -%}
{%- macro duckdb__written_down() -%}materialized{%- endmacro -%}
{%- macro postgres__written_down() -%}materialized{%- endmacro -%}
