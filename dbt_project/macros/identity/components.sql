{#-
    Connected components to a fixpoint, as a materialization: the model selects edges (left_key, right_key, strength), the relation
    that results has (node_key, component_key). Set-based statements in a loop, so that it runs on any engine; one that has something
    better overrides `label_components` by dispatch.

    A component of more than `identity_max_component_size` nodes is kept apart at its weakest edges: all edges of its least strength
    are taken out, again and again, until what is left is small enough. The result depends on the set of edges alone.
-#}
{% materialization components, default %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- do create_working_table('identity_live', sql) -%}
    {%- do label_components('identity_live', 'identity_labels') -%}
    {%- do split_oversized(var('identity_max_component_size')) -%}

    {%- set forget = forget_region('node_key') -%}
    {%- if region_applies() -%}
        {%- do run_query(forget) -%}
        {% call statement('main') -%}
            insert into {{ target_relation }} (node_key, component_key) select node_key, component_key from identity_labels
        {%- endcall %}
    {%- else -%}
        {%- if existing_relation is not none -%}
            {%- do adapter.drop_relation(existing_relation) -%}
        {%- endif -%}
        {% call statement('main') -%}
            {{ create_table_as(False, target_relation, 'select node_key, component_key from identity_labels') }}
        {%- endcall %}
    {%- endif -%}
    {%- for name in ['identity_live', 'identity_labels'] -%}
        {%- do run_query("drop table if exists " ~ name) -%}
    {%- endfor -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do persist_docs(target_relation, model) -%}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#- Working table `labels` (node_key, component_key) of every node of the working table `edges`. -#}
{%- macro label_components(edges, labels) -%}{{ return(adapter.dispatch('label_components', 'mailwright')(edges, labels)) }}{%- endmacro -%}

{#-
    Contraction by rounds: every node takes the least of itself and its neighbours for parent, chains of parents are shortened, and
    the edges between different parents are the next, much smaller graph (keys are hashes, so no order of the data makes chains
    long). Then the parents are followed from the last round back to the first.
-#}
{%- macro default__label_components(edges, labels) -%}
    {%- do create_working_table(
        'identity_edges_0',
        'select left_key as a, right_key as b from ' ~ edges ~ ' where left_key <> right_key'
    ) -%}
    {%- set rounds = namespace(done=0, open=true) -%}
    {%- for round in range(100) -%}
        {%- if rounds.open -%}
            {%- set now = 'identity_edges_' ~ round -%}
            {%- if run_query('select count(*) from ' ~ now).rows[0][0] | int == 0 -%}
                {%- set rounds.open = false -%}
            {%- else -%}
                {%- set rounds.done = round + 1 -%}
                {%- set hooked -%}
                    select ends.node, least(ends.node, min(ends.near)) as parent
                    from (select a as node, b as near from {{ now }} union all select b as node, a as near from {{ now }}) as ends
                    group by ends.node
                {%- endset -%}
                {%- do create_working_table('identity_hooked', hooked) -%}
                {%- set shortened -%}
                    select own.node, grand.parent
                    from identity_hooked as own
                    inner join identity_hooked as up on own.parent = up.node
                    inner join identity_hooked as grand on up.parent = grand.node
                {%- endset -%}
                {%- do create_working_table('identity_parents_' ~ round, shortened) -%}
                {%- set contracted -%}
                    select distinct least(x.parent, y.parent) as a, greatest(x.parent, y.parent) as b
                    from {{ now }} as e
                    inner join identity_parents_{{ round }} as x on e.a = x.node
                    inner join identity_parents_{{ round }} as y on e.b = y.node
                    where x.parent <> y.parent
                {%- endset -%}
                {%- do create_working_table('identity_edges_' ~ (round + 1), contracted) -%}
            {%- endif -%}
            {%- do run_query('drop table ' ~ now) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if rounds.open -%}
        {{ exceptions.raise_compiler_error("Connected components did not come to an end in 100 rounds.") }}
    {%- endif -%}
    {%- do create_working_table(
        labels,
        'select left_key as node_key, left_key as component_key from ' ~ edges ~ ' where 1 = 0'
        if rounds.done == 0 else
        'select node as node_key, parent as component_key from identity_parents_' ~ (rounds.done - 1)
    ) -%}
    {%- for round in range(rounds.done - 2, -1, -1) -%}
        {%- set followed -%}
            select p.node as node_key, coalesce(l.component_key, p.parent) as component_key
            from identity_parents_{{ round }} as p
            left join {{ labels }} as l on p.parent = l.node_key
        {%- endset -%}
        {%- do create_working_table('identity_followed', followed) -%}
        {%- do run_query('drop table ' ~ labels) -%}
        {%- do run_query('alter table identity_followed rename to ' ~ labels) -%}
    {%- endfor -%}
    {%- for round in range(rounds.done) -%}
        {%- do run_query('drop table identity_parents_' ~ round) -%}
    {%- endfor -%}
    {%- do run_query('drop table if exists identity_hooked') -%}
{%- endmacro -%}


{#- Take the weakest edges out of every component of identity_labels above `limit`, until none is left. -#}
{%- macro split_oversized(limit) -%}
    {%- set rounds = namespace(open=true) -%}
    {%- for round in range(20) -%}
        {%- if rounds.open -%}
            {%- do create_working_table(
                'identity_oversized',
                'select component_key from identity_labels group by component_key having count(*) > ' ~ limit
            ) -%}
            {%- if run_query('select count(*) from identity_oversized').rows[0][0] | int == 0 -%}
                {%- set rounds.open = false -%}
            {%- else -%}
                {%- set graded -%}
                    select
                        e.left_key,
                        e.right_key,
                        e.strength,
                        min(e.strength) over (partition by l.component_key) as least_strength
                    from identity_live as e
                    inner join identity_labels as l on e.left_key = l.node_key
                    inner join identity_labels as r on e.right_key = r.node_key and l.component_key = r.component_key
                    inner join identity_oversized as o on l.component_key = o.component_key
                {%- endset -%}
                {%- do create_working_table(
                    'identity_kept',
                    'select left_key, right_key, strength from (' ~ graded ~ ') as graded where strength > least_strength'
                ) -%}
                {%- do label_components('identity_kept', 'identity_parts') -%}
                {%- set relabelled -%}
                    select
                        l.node_key,
                        case
                            when o.component_key is null then l.component_key
                            else coalesce(p.component_key, l.node_key)
                        end as component_key
                    from identity_labels as l
                    left join identity_oversized as o on l.component_key = o.component_key
                    left join identity_parts as p on l.node_key = p.node_key
                {%- endset -%}
                {%- do create_working_table('identity_relabelled', relabelled) -%}
                {%- do run_query('drop table identity_labels') -%}
                {%- do run_query('alter table identity_relabelled rename to identity_labels') -%}
                {%- do run_query('drop table identity_live') -%}
                {%- do run_query('alter table identity_kept rename to identity_live') -%}
                {%- do run_query('drop table identity_parts') -%}
            {%- endif -%}
            {%- do run_query('drop table identity_oversized') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if rounds.open -%}
        {{ exceptions.raise_compiler_error("Components above the size limit were left after taking out every strength of edge.") }}
    {%- endif -%}
{%- endmacro -%}


{#-
    select of (component_key): components with what is made of others (a telephone with a name, a mailbox) that hold a person. Where
    what is made lost its edges, or the size limit left it by itself, it is nobody.
-#}
{%- macro founded_components(identifiers, components) -%}
    select founders.component_key
    from {{ components }} as founders
    inner join {{ identifiers }} as founding on founders.node_key = founding.node_key
    where
        founding.stands_alone
        and founders.component_key in (
            select owned.component_key
            from {{ components }} as owned
            inner join {{ identifiers }} as made on owned.node_key = made.node_key
            where made.tier = 'bridge' and not made.stands_alone
        )
    group by founders.component_key
{%- endmacro -%}
