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
    Working table `changed` (load_id, utc_day): the parts that differ. `loaded` is a query of (load_id), all rows upstream that belong here,
    whatever the clock says; `now` one of (load_id, occurred_at), those of them that should be stored; `also` are queries of
    (load_id, utc_day), parts that differ for other reasons.

    Working table `loads` (load_id) before it: the days of a load of which every row is stored need no counting. That is nearly all of
    them, so a build looks at the instants of few rows.
-#}
{%- macro collect_changed_parts(loaded, now, also=[]) -%}
    {%- set loads -%}
        select coalesce(there.load_id, stored.load_id) as load_id
        from (
            select all_loaded.load_id, count(*) as n_rows from ({{ loaded }}) as all_loaded group by all_loaded.load_id
        ) as there
        full outer join (
            select t.load_id, count(*) as n_rows from {{ this }} as t group by t.load_id
        ) as stored on there.load_id = stored.load_id
        where there.n_rows is distinct from stored.n_rows
        -- the clock was set back: as many of a load may be others
        union distinct
        select t.load_id from {{ this }} as t where t.occurred_at >= {{ as_of() }}
        union distinct
        select t.load_id from {{ this }} as t where t.known_at > {{ known_at() }}
    {%- endset -%}
    {%- do create_working_table(working_table('loads'), loads) -%}
    {%- set changed -%}
        select
            coalesce(there.load_id, stored.load_id) as load_id,
            coalesce(there.utc_day, stored.utc_day) as utc_day
        from (
            select now_there.load_id, cast(now_there.occurred_at as date) as utc_day, count(*) as n_rows
            from ({{ now }}) as now_there
            inner join {{ working_table('loads') }} as loads on now_there.load_id = loads.load_id
            group by now_there.load_id, cast(now_there.occurred_at as date)
        ) as there
        full outer join (
            select t.load_id, cast(t.occurred_at as date) as utc_day, count(*) as n_rows
            from {{ this }} as t
            inner join {{ working_table('loads') }} as loads on t.load_id = loads.load_id
            group by t.load_id, cast(t.occurred_at as date)
        ) as stored
            on there.load_id = stored.load_id and there.utc_day = stored.utc_day
        where there.n_rows is distinct from stored.n_rows
        union distinct
        -- the clock was set back
        select t.load_id, cast(t.occurred_at as date) as utc_day from {{ this }} as t where t.occurred_at >= {{ as_of() }}
        union distinct
        select t.load_id, cast(t.occurred_at as date) as utc_day from {{ this }} as t where t.known_at > {{ known_at() }}
        {%- for parts in also %}
        union distinct
        {{ parts }}
        {%- endfor %}
    {%- endset -%}
    {%- do create_working_table(working_table('changed'), changed) -%}
{%- endmacro -%}

{#-
    Working table `days` (occurred_on), the local days to do again: the newest `late_arrival_days`, and those of `touched`, a query of
    (occurred_on), of any age.
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
{%- endmacro -%}

{#-
    condition on an instant: not long before nor after all the days that are done again. An engine need not read what it stored
    elsewhere. A day more: where clocks are set back a minute after midnight, some of a day comes before its beginning.
-#}
{%- macro within_days(instant) -%}
    {{ instant }} >= (select {{ local_midnight(add_days('min(d.occurred_on)', -1)) }} from {{ working_table('days') }} as d)
    and {{ instant }} < (select {{ local_midnight(add_days('max(d.occurred_on)', 2)) }} from {{ working_table('days') }} as d)
{%- endmacro -%}
