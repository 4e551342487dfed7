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


{#- Delete the rows that a run at the same as_of (or other time `at`) inserted; of those, where `condition` (`and …`) holds. -#}
{% macro take_back_inserts(column, condition='', at=none) %}
    {%- if execute and load_relation(this) is not none -%}
        delete from {{ this }} where {{ column }} = {{ at or as_of() }} {{ condition }}
    {%- endif -%}
{% endmacro %}


{#- Delete the rows whose `column` lies at or before an instant (or day): what nobody asks for any more. -#}
{% macro forget_through(column, instant) %}
    {%- if execute and load_relation(this) is not none -%}
        delete from {{ this }} where {{ column }} <= {{ instant }}
    {%- endif -%}
{% endmacro %}


{#- Open again the rows that a run at the same as_of closed; of those, where `condition` (`and …`) holds. -#}
{% macro take_back_closings(column, condition='') %}
    {%- if execute and load_relation(this) is not none -%}
        update {{ this }} set {{ column }} = null where {{ column }} = {{ as_of() }} {{ condition }}
    {%- endif -%}
{% endmacro %}


{#-
  Two profiles became one: what is remembered of the former id goes to the one that is in use. Rows of both that say the same (equal
  in `key_columns`) are kept once. A pre-hook; the model has to depend on identity_successions.
-#}
{% macro follow_successions(key_columns) %}
    {%- if execute and load_relation(this) is not none and rows_of_former_profiles() -%}
        {%- set successions = ref('identity_successions') -%}
        {%- set repeated -%}
            delete from {{ this }} where exists (
                select 1
                from {{ successions }} as own
                inner join {{ this }} as other on true
                left join {{ successions }} as others on other.profile_id = others.former_profile_id
                where
                    {{ this.identifier }}.profile_id = own.former_profile_id
                    and coalesce(others.profile_id, other.profile_id) = own.profile_id
                    {%- for column in key_columns %}
                    and other.{{ column }} = {{ this.identifier }}.{{ column }}
                    {%- endfor %}
                    and (others.profile_id is null or other.profile_id < {{ this.identifier }}.profile_id)
            )
        {%- endset -%}
        {%- do run_query(repeated) -%}
        update {{ this }}
        set profile_id = succession.profile_id
        from {{ successions }} as succession
        where {{ this.identifier }}.profile_id = succession.former_profile_id
    {%- endif -%}
{% endmacro %}


{#- Whether anything is remembered of a profile that another one has succeeded. -#}
{% macro rows_of_former_profiles() %}
    {%- set remembered -%}
        select count(*) from {{ this }} where profile_id in (select s.former_profile_id from {{ ref('identity_successions') }} as s)
    {%- endset -%}
    {{- return(run_query(remembered).rows[0][0] | int > 0) -}}
{% endmacro %}


{#-
  take_back_closings and follow_successions for stays (from `opened` to `closed`, null while it lasts) in what `key_columns` say beside
  the profile. Either may leave two open stays of one person in the same; the earliest remains: she has been in since then. Where
  neither had anything to do there are no two, and nothing is compared.
-#}
{% macro take_back_and_follow_stays(key_columns, opened, closed) %}
    {%- if execute and load_relation(this) is not none -%}
        {%- set closed_now -%}
            select count(*) from {{ this }} where {{ closed }} = {{ as_of() }}
        {%- endset -%}
        {%- set reopens, renames = run_query(closed_now).rows[0][0] | int > 0, rows_of_former_profiles() -%}
        {%- if reopens -%}
            {%- do run_query(take_back_closings(closed)) -%}
        {%- endif -%}
        {%- if renames -%}
            {%- do run_query(forget_shorter_stays(key_columns + [opened], closed)) -%}
            {%- do run_query(follow_successions(key_columns + [opened])) -%}
        {%- endif -%}
        {%- if reopens or renames -%}
            delete from {{ this }} where {{ closed }} is null and exists (
                select 1
                from {{ this }} as earlier
                where
                    earlier.{{ closed }} is null
                    and earlier.{{ opened }} < {{ this.identifier }}.{{ opened }}
                    {%- for column in ['profile_id'] + key_columns %}
                    and earlier.{{ column }} = {{ this.identifier }}.{{ column }}
                    {%- endfor %}
            )
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#- Of stays that will be one person's, and began in the same instant in the same, the one that lasted longest remains. -#}
{% macro forget_shorter_stays(key_columns, closed) %}
    {%- set successions = ref('identity_successions') -%}
    {%- set stays = working_table('stays_of_successors') -%}
    {%- set of_successors -%}
        select
            t.profile_id,
            coalesce(succession.profile_id, t.profile_id) as successor_id,
            {%- for column in key_columns %}
            t.{{ column }},
            {%- endfor %}
            t.{{ closed }}
        from {{ this }} as t
        left join {{ successions }} as succession on t.profile_id = succession.former_profile_id
        where coalesce(succession.profile_id, t.profile_id) in (select s.profile_id from {{ successions }} as s)
    {%- endset -%}
    {%- do create_working_table(stays, of_successors) -%}
    delete from {{ this }} where (profile_id, {{ key_columns | join(', ') }}) in (
        select shorter.profile_id{% for column in key_columns %}, shorter.{{ column }}{% endfor %}
        from {{ stays }} as shorter
        inner join {{ stays }} as longer
            on shorter.successor_id = longer.successor_id
            {%- for column in key_columns %}
            and shorter.{{ column }} = longer.{{ column }}
            {%- endfor %}
        where longer.{{ closed }} > shorter.{{ closed }} or (longer.{{ closed }} is null and shorter.{{ closed }} is not null)
    )
{% endmacro %}
