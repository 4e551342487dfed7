{#-
    What a build of a stored fact has to do again, found by comparing what stands upstream with what is stored, not by remembering
    when it ran last: so nothing depends on how the build before it ended.

    The unit is a part: the rows of one load on one day (UTC). A row that was loaded never changes, so while no stored row has become
    invisible, a part has the same rows upstream as here if it has as many. A part differs when a load came, however late its rows
    are; when one was withdrawn; and when a clock passed rows that had been loaded before (dated in the future, or not known yet).

    A model that uses this has the columns load_id, occurred_at, known_at and made_by, and this configuration:
        materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns',
        pre_hook="{{ a macro that collects working tables and then forgets rows }}"
    Its SQL reads the working tables where `rows_stay()`, and everything where not. Working tables belong to the session, and their
    names begin with the model's, since several models may be built in one session.
-#}

{#- Raise it when a macro that the facts are made with comes to another result: they are computed again from the start. -#}
{%- macro facts_macros_version() -%}{{ return(1) }}{%- endmacro -%}

{#-
    bigint literal: what the rows of this model are made by (the text of it and of the models that it is made from, and these values of
    vars); other than stored: all anew.
-#}
{%- macro made_by(values=[]) -%}
    {%- if not execute -%}{{ return(0) }}{%- endif -%}
    {%- set parts = [facts_macros_version(), var('business_time_zone'), model.raw_code] + values -%}
    {%- for name in model.depends_on.nodes if name in graph.nodes -%}
        {%- do parts.append(graph.nodes[name].checksum.checksum) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('|'))[:12] | int(0, 16)) }}
{%- endmacro -%}

{#- Whether this run of this model keeps what it stored and does again just what differs. -#}
{%- macro rows_stay(values=[]) -%}
    {%- set stored = load_relation(this) if execute else none -%}
    {%- if stored is none or not stored.is_table or should_full_refresh() -%}{{ return(false) }}{%- endif -%}
    {%- if 'made_by' not in adapter.get_columns_in_relation(stored) | map(attribute='name') -%}{{ return(false) }}{%- endif -%}
    {%- set made_otherwise -%}
        select count(*) from {{ this }} where made_by <> {{ made_by(values) }}
    {%- endset -%}
    {{ return(run_query(made_otherwise).rows[0][0] | int == 0) }}
{%- endmacro -%}

{#- For a pre-hook: nothing of what is stored counts. A full refresh replaces the table anyway. -#}
{%- macro forget_everything() -%}
    {%- set stored = load_relation(this) if execute else none -%}
    {%- if stored is not none and stored.is_table and not should_full_refresh() -%}
        {%- do run_query('delete from ' ~ this) -%}
    {%- endif -%}
{%- endmacro -%}

{#- text: name of a working table of this model. -#}
{%- macro working_table(name) -%}{{ return(model.name ~ '__' ~ name) }}{%- endmacro -%}

{#-
    Working table `changed` (load_id, utc_day): the parts that differ. `now` is a query of (load_id, occurred_at), the rows that should
    be stored; `also` are queries of (load_id, utc_day), parts that differ for other reasons.
-#}
{%- macro collect_changed_parts(now, also=[]) -%}
    {%- set changed -%}
        select
            coalesce(there.load_id, stored.load_id) as load_id,
            coalesce(there.utc_day, stored.utc_day) as utc_day
        from (
            select now_there.load_id, cast(now_there.occurred_at as date) as utc_day, count(*) as n_rows
            from ({{ now }}) as now_there
            group by now_there.load_id, cast(now_there.occurred_at as date)
        ) as there
        full outer join (
            select t.load_id, cast(t.occurred_at as date) as utc_day, count(*) as n_rows
            from {{ this }} as t
            group by t.load_id, cast(t.occurred_at as date)
        ) as stored
            on there.load_id = stored.load_id and there.utc_day = stored.utc_day
        where there.n_rows is distinct from stored.n_rows
        union distinct
        -- the clock was set back
        select t.load_id, cast(t.occurred_at as date) as utc_day
        from {{ this }} as t
        where t.occurred_at >= {{ as_of() }} or t.known_at > {{ known_at() }}
        {%- for parts in also %}
        union distinct
        {{ parts }}
        {%- endfor %}
    {%- endset -%}
    {%- do create_working_table(working_table('changed'), changed) -%}
{%- endmacro -%}

{#-
    Working tables `days` (occurred_on), the local days to do again, and `utc_days` (utc_day) on which they lie: the newest
    `late_arrival_days`, and those of `touched`, a query of (occurred_on), of any age.
-#}
{%- macro collect_days(touched) -%}
    {%- set days -%}
        select touched.occurred_on from ({{ touched }}) as touched where touched.occurred_on is not null
        union distinct
        select t.occurred_on
        from {{ this }} as t
        where t.occurred_on > (select {{ add_days('max(newest.occurred_on)', -1 * var('late_arrival_days')) }} from {{ this }} as newest)
    {%- endset -%}
    {%- do create_working_table(working_table('days'), days) -%}
    {%- set utc_days -%}
        select cast({{ local_midnight('d.occurred_on') }} as date) as utc_day from {{ working_table('days') }} as d
        union distinct
        select cast({{ add_microseconds(local_midnight(add_days('d.occurred_on', 1)), -1) }} as date) as utc_day
        from {{ working_table('days') }} as d
    {%- endset -%}
    {%- do create_working_table(working_table('utc_days'), utc_days) -%}
{%- endmacro -%}
