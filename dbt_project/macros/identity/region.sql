{#-
    A build resolves the region alone: every identifier whose surroundings changed since they were last resolved, and all that hang
    together with one. No observed edge and no rule leads out of it, so within it the graph's models see all that they need; outside
    of it their rows stay as they are.

    The models below int_identity__region forget the region's rows (`forget_region`, a pre-hook in the model's own transaction) and
    compute them again (`within_region`). int_identity__resolved has a fingerprint of everybody as they were last resolved. The region
    marks its own there as open; theirs are written last, and only by a run of the whole way, so that after a build that ended half-way
    the next one looks at them again. A run of some of the models by hand, without the region, empties it: the next build looks at
    everything.
-#}

{#- Raise it when a macro that the graph's models use comes to another result: every identifier is resolved again. -#}
{%- macro identity_macros_version() -%}{{ return(2) }}{%- endmacro -%}

{#- Models whose text decides who is who. -#}
{%- macro identity_logic() -%}
    {{ return([
        'model.mailwright.int_identity__fingerprints', 'model.mailwright.int_identity__region',
        'model.mailwright.int_identity__identifiers', 'model.mailwright.int_identity__quarantine',
        'model.mailwright.int_identity__edges', 'model.mailwright.int_identity__components',
        'model.mailwright.int_identity__attachments', 'model.mailwright.identity_registry',
    ]) }}
{%- endmacro -%}

{#- integer: changes with the models and the size limit, which is as good as a change of every identifier. -#}
{%- macro identity_logic_fingerprint() -%}
    {%- if not execute -%}{{ return(0) }}{%- endif -%}
    {%- set parts = [identity_macros_version(), var('identity_max_component_size')] -%}
    {%- for name in identity_logic() -%}
        {%- do parts.append(graph.nodes[name].checksum.checksum) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('|'))[:12] | int(0, 16)) }}
{%- endmacro -%}

{#- Whether this run of this model keeps the rows outside of the region. -#}
{%- macro region_applies() -%}
    {{ return(execute and load_relation(this) is not none and not should_full_refresh()) }}
{%- endmacro -%}

{#- Whether the region will be everything, whatever the fingerprints are. -#}
{%- macro nothing_to_compare_with() -%}
    {{ return(execute and (flags.FULL_REFRESH or load_relation(this.incorporate(path={'identifier': 'int_identity__resolved'})) is none)) }}
{%- endmacro -%}

{#- Whether this run took in every step from the fingerprints to the registry. -#}
{%- macro took_the_whole_way() -%}
    {%- set way = namespace(whole=true) -%}
    {%- for name in identity_logic() -%}
        {%- if name not in selected_resources -%}{%- set way.whole = false -%}{%- endif -%}
    {%- endfor -%}
    {{ return(way.whole) }}
{%- endmacro -%}

{#- Nobody counts as resolved any more: the next build looks at everything. -#}
{%- macro forget_resolved() -%}
    {%- set resolved = load_relation(this.incorporate(path={'identifier': 'int_identity__resolved'})) if execute else none -%}
    {%- if resolved is not none -%}
        {%- do run_query('delete from ' ~ resolved) -%}
    {%- endif -%}
{%- endmacro -%}

{#- For the pre-hook of int_identity__resolved: a run that left a step out may have forgotten what it did not write again. -#}
{%- macro forget_region_or_all() -%}
    {%- if region_applies() and not took_the_whole_way() -%}
        {%- do forget_resolved() -%}
    {%- endif -%}
    {{ forget_region('node_key') }}
{%- endmacro -%}

{#- For the pre-hooks of the models below the region: a run without it writes by what had changed for another. -#}
{%- macro forget_resolved_by_hand() -%}
    {%- if execute and 'model.mailwright.int_identity__region' not in selected_resources -%}
        {%- do forget_resolved() -%}
    {%- endif -%}
{%- endmacro -%}

{%- macro within_region(node_key, and_also=false) -%}
    {%- set region = ref('int_identity__region') -%}
    {%- if region_applies() -%}
        {{ 'and' if and_also else 'where' }} {{ node_key }} in (select region.node_key from {{ region }} as region)
    {%- endif -%}
{%- endmacro -%}

{#- Keywords of a CTE that imports a table within the region: all of it is read in place, a part is written down once. -#}
{%- macro whole_in_place() -%}{%- if not region_applies() -%}{{ in_place() }}{%- endif -%}{%- endmacro -%}

{%- macro forget_region(node_key) -%}
    {%- set region = ref('int_identity__region') -%}
    {%- do forget_resolved_by_hand() -%}
    {%- if region_applies() -%}
        delete from {{ this }} where {{ node_key }} in (select region.node_key from {{ region }} as region)
    {%- endif -%}
{%- endmacro -%}


{#-
    The region (node_key), as a materialization: the model selects pairs (left_key, right_key) over which a change spreads. It starts
    from every node of int_identity__fingerprints that differs from int_identity__resolved, and grows by rounds to a fixpoint. Where a
    fifth of all identifiers changed, or the rounds come to no end, it is everything.
-#}
{% materialization region, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set now = ref('int_identity__fingerprints') -%}
    {%- set resolved = load_relation(this.incorporate(path={'identifier': 'int_identity__resolved'})) -%}
    {%- set identifiers = load_relation(this.incorporate(path={'identifier': 'int_identity__identifiers'})) -%}
    {%- set registry = load_relation(this.incorporate(path={'identifier': 'identity_registry'})) -%}
    {%- set components = load_relation(this.incorporate(path={'identifier': 'int_identity__components'})) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set everything -%}
        select n.node_key from {{ ref('int_identity__sightings') }} as n
        {%- for side in ['left', 'right'] %}
        union distinct
        select {{ node_key('u.' ~ side ~ '_type', 'u.' ~ side ~ '_value') }} as node_key from {{ source('identity', 'rules') }} as u
        {%- endfor %}
        {%- if resolved is not none %}
        union distinct
        select r.node_key from {{ resolved }} as r
        {%- endif %}
        {%- if identifiers is not none %}
        union distinct
        select i.node_key from {{ identifiers }} as i
        {%- endif %}
        {%- if existing_relation is not none %}
        union distinct
        select e.node_key from {{ existing_relation }} as e
        {%- endif %}
        {%- if registry is not none %}
        union distinct
        -- who is gone, and is still open there or was closed by a run at this instant
        select {{ node_key('g.identifier_type', 'g.identifier_value') }} as node_key from {{ registry }} as g
        where g.assigned_until is null or g.assigned_until = {{ as_of() }}
        {%- endif %}
    {%- endset -%}
    {%- set state = [existing_relation, resolved, identifiers, registry] -%}
    {%- set grown = namespace(open=false, whole=none in state or flags.FULL_REFRESH) -%}
    {%- if not grown.whole -%}
        {#- few buckets differ, and nobody outside of them #}
        {%- set buckets -%}
            select coalesce(n.bucket, r.bucket) as bucket
            from {{ now }} as n
            full outer join (
                select {{ identity_bucket('node_key') }} as bucket, sum(fingerprint) as fingerprint from {{ resolved }}
                group by {{ identity_bucket('node_key') }}
            ) as r on n.bucket = r.bucket
            where n.fingerprint is distinct from r.fingerprint
        {%- endset -%}
        {%- do create_working_table('identity_buckets', buckets) -%}
        {%- set in_them = 'where ' ~ identity_bucket('node_key') ~ ' in (select bucket from identity_buckets)' -%}
        {%- set changed -%}
            select coalesce(n.node_key, r.node_key) as node_key
            from (
                select node_key, {{ identity_fingerprint('part') }} as fingerprint
                from ({{ identity_parts(in_them) }}) as parts
                group by node_key
            ) as n
            full outer join (select node_key, fingerprint from {{ resolved }} {{ in_them }}) as r on n.node_key = r.node_key
            where n.fingerprint is distinct from r.fingerprint
        {%- endset -%}
        {%- do create_working_table('identity_region', changed) -%}
        {%- do run_query('drop table identity_buckets') -%}
        {%- set sizes = run_query(
            'select (select count(*) from identity_region), (select count(*) from ' ~ resolved ~ ')'
        ).rows[0] -%}
        {%- set grown.open = sizes[0] | int > 0 -%}
        {#- nothing is known of anybody after a run by hand, and then everybody may be gone #}
        {%- set grown.whole = sizes[1] | int == 0 or 5 * (sizes[0] | int) > sizes[1] | int -%}
    {%- endif -%}
    {%- if grown.open and not grown.whole -%}
        {%- do create_working_table('identity_frontier', 'select node_key from identity_region') -%}
        {%- for round in range(40) -%}
            {%- if grown.open -%}
                {%- set reached -%}
                    select p.right_key as node_key from ({{ sql }}) as p
                    inner join identity_frontier as f on p.left_key = f.node_key
                    union distinct
                    select p.left_key from ({{ sql }}) as p
                    inner join identity_frontier as f on p.right_key = f.node_key
                    {%- if components is not none %}
                    union distinct
                    -- what was one component is reached in one step, however long a chain it is
                    select c.node_key from {{ components }} as c
                    where c.component_key in (
                        select own.component_key from {{ components }} as own
                        inner join identity_frontier as f on own.node_key = f.node_key
                    )
                    {%- endif %}
                {%- endset -%}
                {%- set beyond -%}
                    select r.node_key from ({{ reached }}) as r
                    left join identity_region as known on r.node_key = known.node_key
                    where known.node_key is null
                {%- endset -%}
                {%- do create_working_table('identity_beyond', beyond) -%}
                {%- do run_query('insert into identity_region select node_key from identity_beyond') -%}
                {%- do run_query('drop table identity_frontier') -%}
                {%- do run_query('alter table identity_beyond rename to identity_frontier') -%}
                {%- set grown.open = run_query('select count(*) from identity_frontier').rows[0][0] | int > 0 -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set grown.whole = grown.open -%}
        {%- do run_query('drop table identity_frontier') -%}
    {%- endif -%}

    {%- do create_working_table('identity_reached', everything if grown.whole else 'select node_key from identity_region') -%}
    {%- if existing_relation is not none -%}
        {%- do adapter.drop_relation(existing_relation) -%}
    {%- endif -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, 'select node_key from identity_reached') }}
    {%- endcall %}
    {%- do run_query('drop table identity_reached') -%}
    {%- if grown.whole -%}
        {%- do forget_resolved() -%}
    {%- else -%}
        {%- do run_query('delete from ' ~ resolved ~ ' where node_key in (select node_key from identity_region)') -%}
        {%- do run_query('insert into ' ~ resolved ~ ' (node_key, fingerprint) select node_key, -1 from identity_region') -%}
    {%- endif -%}
    {%- do run_query('drop table if exists identity_region') -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do persist_docs(target_relation, model) -%}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
