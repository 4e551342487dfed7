{#-
    What is known around an identifier, as numbers that change when any of it does. All that its place in the graph is worked out from
    is a part: its sightings, its edges, the rules that name it; a fingerprint is a sum of parts, so their order does not matter.
-#}

{#- select of (node_key, part); `condition` (`where node_key …`) leaves the others out. -#}
{%- macro identity_parts(condition='') -%}
    select spoken_of.node_key, spoken_of.part
    from (
        select
            sightings.node_key,
            {#- whose it is belongs to it: two who change places in one bucket would leave its sum as it was -#}
            {{ row_fingerprint([
                'sightings.node_key', 'sightings.source', 'sightings.is_role', 'sightings.is_disposable', 'sightings.first_seen_at',
                'sightings.last_seen_at', 'sightings.n_seen'
            ]) }} as part
        from {{ ref('int_identity__sightings') }} as sightings
        {%- for own_key in ['left_key', 'right_key'] %}
        union all
        select
            observed_edges.{{ own_key }} as node_key,
            {{ row_fingerprint([
                'observed_edges.left_key', 'observed_edges.right_key', 'observed_edges.source',
                'observed_edges.first_seen_at', 'observed_edges.last_seen_at', 'observed_edges.n_seen'
            ]) }} as part
        from {{ ref('int_identity__observed_edges') }} as observed_edges
        {%- endfor %}
        {%- for side in ['left', 'right'] %}
        union all
        select
            {{ node_key('rules.' ~ side ~ '_type', 'rules.' ~ side ~ '_value') }} as node_key,
            {{ row_fingerprint(['rules.rule_id', 'rules.action', 'rules.created_at']) }} as part
        from {{ source('identity', 'rules') }} as rules
        where rules.withdrawn_at is null
        {%- endfor %}
    ) as spoken_of
    {{ condition }}
{%- endmacro -%}

{#- numeric(38,0), an aggregate over rows of identity_parts. -#}
{%- macro identity_fingerprint(part) -%}
    cast(sum({{ part }}) + count(*) * {{ everybodys_part() }} as numeric(38, 0))
{%- endmacro -%}

{#- A number, scalar: a row of a seed, and the models' text, speak of everybody. -#}
{%- macro everybodys_part() -%}
    (
        select coalesce(sum(settings.part), 0) + {{ identity_logic_fingerprint() }}
        from (
            {%- for seed, columns in {
                'identifier_types': ['identifier_type', 'tier', 'stands_alone'],
                'identifier_parts': ['identifier_type', 'part_type'],
                'identity_budgets': ['identifier_type', 'partner_type', 'max_partners', 'window_days'],
                'blocked_identifiers': ['identifier_type', 'identifier_value', 'reason'],
            }.items() %}
            select {{ row_fingerprint(columns) }} as part from {{ ref(seed) }}
            {{- ' union all' if not loop.last }}
            {%- endfor %}
        ) as settings
    )
{%- endmacro -%}

{#- bigint: so many identifiers share a number that few rows tell where something changed, and few enough that a change shows few. -#}
{%- macro identity_bucket(node_key) -%}{{ node_key }} % 1048576{%- endmacro -%}
