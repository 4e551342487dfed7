{#- One schema per target: a build as of a past instant lives in its own schema and can be dropped whole. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema }}
{%- endmacro -%}
