{#-
  Histories are never rebuilt: they are the only place that knows what was true at an earlier as_of. A run first takes
  back what an earlier run at the same as_of wrote, so that running twice leaves the same rows; it refuses to go back
  behind what is recorded, since that would erase history. Both run as pre-hooks, in the model's own transaction.
-#}

{#- Refuse an as_of that lies before the newest instant recorded in `columns` of this model's table. -#}
{% macro refuse_as_of_before(columns) %}
    {%- if execute and load_relation(this) is not none -%}
        {%- set newest = [] -%}
        {%- for column in columns -%}
            {%- set later -%}
                select count(*) from {{ this }} where {{ column }} > {{ as_of() }}
            {%- endset -%}
            {%- if run_query(later).rows[0][0] | int > 0 -%}
                {{ exceptions.raise_compiler_error(
                    this.identifier ~ " already holds " ~ column ~ " later than the clock's as_of, and a history is never"
                    ~ " rewritten. Build the past into a schema of its own: mailwright build --as-of."
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{#- Delete the rows that a run at the same as_of inserted. -#}
{% macro take_back_inserts(column) %}
    {%- if execute and load_relation(this) is not none -%}
        delete from {{ this }} where {{ column }} = {{ as_of() }}
    {%- endif -%}
{% endmacro %}


{#- Open again the rows that a run at the same as_of closed. -#}
{% macro take_back_closings(column) %}
    {%- if execute and load_relation(this) is not none -%}
        update {{ this }} set {{ column }} = null where {{ column }} = {{ as_of() }}
    {%- endif -%}
{% endmacro %}
