{#-
  Many segments out of few passes. Each condition is a boolean column c<i> over one row per person, each segment a boolean s<i> over
  those; equal conditions of several segments are computed once. What conditions need of events are columns of one pass over each
  fact, pruned to the events and days that somebody asks for.
-#}

{#-
  Query: the members of segments (name, all_of, any_of, none_of, …, as segment() describes them).

  cutoffs: none for now (the clock); else a relation with as_of and known_at, any number of past instants, each as_of once, at each of
  which the same is asked of what had happened and was known by then.
  alone: a single segment, which reads the other segments that it names; otherwise they are among the definitions.
  Returns as_of, profile_id, segment_name; with `why`, of one person, all conditions instead (explain.sql).
-#}
{% macro members_query(definitions, cutoffs=none, alone=false, why=none) -%}
    {%- set past = cutoffs is not none -%}
    {%- set plan = {
        'past': past, 'follows': false, 'was': none, 'alone': alone, 'cutoffs': cutoffs, 'offsets': {}, 'columns': {}, 'people': {}, 'sources': {}, 'queries': {}, 'zones': false,
        'names': definitions | map(attribute='name') | list, 'conditions': {}, 'order': [], 'ranked': {}, 'ranks': {}, 'members': {},
        'key_columns': 'events.as_of, events.profile_id' if past else 'events.profile_id',
        'join_cutoffs': 'inner join cutoffs on events.as_of = cutoffs.as_of' if past else 'cross join cutoffs',
    } -%}
    {%- if past -%}
        {%- for definition in definitions if asks_who_was_in(conditions_of(definition)) -%}{%- do plan.update({'follows': true}) -%}{%- endfor -%}
    {%- endif -%}
    {%- set layers = segment_layers(definitions, plan) -%}
    {#- the expressions first: they fill the plan -#}
    {%- set selected = [] -%}
    {%- for layer in layers -%}
        {%- set columns = [] -%}
        {%- for definition in layer -%}
            {%- set expression = segment_expression(definition, plan) -%}
            {%- set number = plan.members | length + 1 -%}
            {%- do plan.members.update({definition.name: 's' ~ number}) -%}
            {%- do columns.append([expression, 's' ~ number]) -%}
        {%- endfor -%}
        {%- do selected.append(columns) -%}
    {%- endfor -%}
{{ plan_comment(plan) }}
with {{ plan_ctes(plan) }},

conditions as (

    select
        profile_features.profile_id,
        {{ 'cutoffs.as_of' if past else 'profile_features.as_of' }}
        {%- for condition in plan.order -%}
        ,
        coalesce({{ condition.sql }}, false) as {{ condition.name }}
        {%- if why %}{% for value in condition['values'] %},
        cast({{ value[1] }} as {{ dbt.type_string() }}) as {{ condition.name }}_value_{{ loop.index }}{% endfor %}{% endif %}
        {%- endfor %}
        {%- for property, name in plan.ranked.items() %},
        {{ column_sql(property, 'person') }} as {{ name }}
        {%- endfor %}
    from {{ 'features' if past else ref('profile_features') }} as profile_features
    {{ 'inner join cutoffs on profile_features.as_of = cutoffs.as_of' if past else 'cross join cutoffs' }}
    {%- for relation in plan.people if relation != 'profile_features' %}
    left join {{ person_relation_sql(relation, plan) }} as {{ relation }}
        on profile_features.profile_id = {{ relation }}.profile_id
        {%- if past and relation != 'dim_profiles' %} and profile_features.as_of = {{ relation }}.as_of{% endif %}
    {%- endfor %}
    {%- if plan.zones %}
    left join {{ known_time_zones() }} as time_zones on dim_profiles.time_zone = time_zones.zone
    {%- endif %}
    {%- for name in passes_of(plan) + plan.queries.values() | list %}
    left join {{ name }}
        on profile_features.profile_id = {{ name }}.profile_id
        {%- if past %} and profile_features.as_of = {{ name }}.as_of{% endif %}
    {%- endfor %}

),

ranked as (

    select
        conditions.*
        {%- for sql, name in plan.ranks.items() %},
        {{ sql }} as {{ name }}
        {%- endfor %}
    from conditions

)
    {%- for columns in selected %},

members_{{ loop.index }} as (

    select
        *
        {%- for expression, name in columns %},
        {{ expression }} as {{ name }}
        {%- endfor %}
    from {{ 'ranked' if loop.first else 'members_' ~ loop.index0 }}

)
    {%- endfor %}
    {%- if why %},

{{ why_ctes(definitions, plan, 'members_' ~ layers | length, why) }}
    {%- elif alone %},

final as (

    select
        profile_id,
        as_of
    from members_{{ layers | length }}
    where {{ plan.members.values() | list | last }}

)
    {%- else %},

final as (
    {% for name, column in plan.members.items() %}
    select
        profile_id,
        as_of,
        {{ quoted(name) }} as segment_name
    from members_{{ layers | length }}
    where {{ column }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

)
    {%- endif %}

select * from final
{%- endmacro %}


{#- Segments in the order in which they can be computed: those that name others come after them. -#}
{% macro segment_layers(definitions, plan) -%}
    {%- if plan.alone -%}{{- return([definitions]) -}}{%- endif -%}
    {%- set waiting = {} -%}
    {%- for definition in definitions -%}{%- do waiting.update({definition.name: definition}) -%}{%- endfor -%}
    {%- set layers = [] -%}
    {%- for _ in definitions if waiting -%}
        {%- set ready = [] -%}
        {%- for name, definition in waiting.items() -%}
            {%- set missing = [] -%}
            {%- for other in segments_named(conditions_of(definition)) if other in waiting -%}{%- do missing.append(other) -%}{%- endfor -%}
            {%- if not missing -%}{%- do ready.append(definition) -%}{%- endif -%}
        {%- endfor -%}
        {%- for definition in ready -%}{%- do waiting.pop(definition.name) -%}{%- endfor -%}
        {%- if ready -%}{%- do layers.append(ready) -%}{%- endif -%}
    {%- endfor -%}
    {%- if waiting -%}
        {{- segment_error('these segments are conditions of each other, in a circle: ' ~ waiting | join(', '), none) -}}
    {%- endif -%}
    {{- return(layers) -}}
{%- endmacro %}

{% macro conditions_of(definition) -%}
    {{- return((definition.all_of or []) + (definition.any_of or []) + (definition.none_of or [])) -}}
{%- endmacro %}

{#- Names of the segments that a list of conditions asks for, as of now. -#}
{% macro segments_named(conditions) -%}
    {%- set found = [] -%}
    {%- for condition in conditions -%}
        {%- if condition.op == 'in_segment' -%}{%- do found.append(condition.name) -%}
        {%- elif condition.op == 'hysteresis' -%}{%- do found.extend(segments_named([condition.enter, condition.leave])) -%}
        {%- elif condition.conditions -%}{%- do found.extend(segments_named(condition.conditions)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(found | unique | list) -}}
{%- endmacro %}

{#-
  boolean over ranked: the segment's conditions, and its capacity. In the past, a segment that depends on who was in it is followed
  from instant to instant: in where she would be even if she had not been, until she would not be even if she had.
-#}
{% macro segment_expression(definition, plan) -%}
    {%- if not plan.past or not asks_who_was_in(conditions_of(definition)) -%}
        {{- return(with_capacity(definition, conditions_expression(definition, plan), plan)) -}}
    {%- endif -%}
    {%- do plan.update({'was': 'false'}) -%}
    {%- set anew = conditions_expression(definition, plan) -%}
    {%- do plan.update({'was': 'true'}) -%}
    {%- set still = conditions_expression(definition, plan) -%}
    {%- do plan.update({'was': none}) -%}
    {%- set so_far = ' over (partition by profile_id order by as_of asc rows between unbounded preceding and current row)' -%}
    {%- set entered = 'max(case when ' ~ anew ~ ' then as_of end)' ~ so_far -%}
    {%- set left = 'max(case when not ' ~ still ~ ' then as_of end)' ~ so_far -%}
    {{- return('coalesce(' ~ entered ~ ' > coalesce(' ~ left ~ ", cast('0001-01-01' as timestamp)), false)") -}}
{%- endmacro %}

{#- boolean: hysteresis is among the conditions. Denied, it has no past: who was in would count the wrong way round. -#}
{% macro asks_who_was_in(conditions, denied=false) -%}
    {%- set found = [] -%}
    {%- for condition in conditions -%}
        {%- if condition.op == 'hysteresis' -%}
            {%- if denied -%}{{- segment_error('a segment with hysteresis under none_of has no past', 'hysteresis') -}}{%- endif -%}
            {%- do found.append(true) -%}
        {%- elif condition.conditions -%}
            {%- if asks_who_was_in(condition.conditions, denied or condition.op == 'none_of') -%}{%- do found.append(true) -%}{%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(found | length > 0) -}}
{%- endmacro %}

{% macro conditions_expression(definition, plan) -%}
    {%- if plan.past -%}
        {%- do asks_who_was_in(definition.none_of or [], true) -%}
        {%- if definition.capacity is not none and asks_who_was_in(conditions_of(definition)) -%}
            {{- segment_error('a segment with hysteresis and a capacity has no past', 'hysteresis') -}}
        {%- endif -%}
    {%- endif -%}
    {%- set parts = [] -%}
    {%- for condition in definition.all_of or [] -%}{%- do parts.append(expression_of(condition, plan, definition.name)) -%}{%- endfor -%}
    {%- if definition.any_of -%}
        {%- do parts.append(expression_of({'op': 'any_of', 'conditions': definition.any_of}, plan, definition.name)) -%}
    {%- endif -%}
    {%- if definition.none_of -%}
        {%- do parts.append(expression_of({'op': 'none_of', 'conditions': definition.none_of}, plan, definition.name)) -%}
    {%- endif -%}
    {{- return('(' ~ parts | join(' and ') ~ ')' if parts else 'true') -}}
{%- endmacro %}

{% macro with_capacity(definition, expression, plan) -%}
    {%- if definition.capacity is none -%}{{- return(expression) -}}{%- endif -%}
    {%- if definition.capacity is not integer or definition.capacity < 1 or not definition.by -%}
        {{- segment_error("capacity takes a number of people and by='column', of whom to prefer", 'capacity') -}}
    {%- endif -%}
    {%- set value = rank_value(definition.by, plan) -%}
    {{- return(
        '(' ~ expression ~ ' and row_number() over (partition by as_of, ' ~ expression ~ ' order by ' ~ value
        ~ (' asc' if definition.smallest_first else ' desc') ~ ' nulls last, ' ~ dbt.hash('profile_id') ~ ' asc) <= ' ~ definition.capacity ~ ')'
    ) -}}
{%- endmacro %}

{#- boolean over ranked, and the members_ after it. -#}
{% macro expression_of(condition, plan, own) -%}
    {%- if condition is not mapping or 'op' not in condition -%}
        {{- segment_error("a condition is one of the vocabulary, such as prop('orders_90d', '>=', 2), and '" ~ condition ~ "' is none", condition | string) -}}
    {%- endif -%}
    {%- set op = condition.op -%}
    {%- if op in ['all_of', 'any_of', 'none_of', 'n_of'] -%}
        {%- if condition.conditions is string or condition.conditions is mapping or not condition.conditions -%}
            {{- segment_error(op ~ ' takes a list of conditions', op) -}}
        {%- endif -%}
        {%- set parts = [] -%}
        {%- for one in condition.conditions -%}{%- do parts.append(expression_of(one, plan, own)) -%}{%- endfor -%}
        {%- if op == 'all_of' -%}{{- return('(' ~ parts | join(' and ') ~ ')') -}}
        {%- elif op == 'any_of' -%}{{- return('(' ~ parts | join(' or ') ~ ')') -}}
        {%- elif op == 'none_of' -%}{{- return('not (' ~ parts | join(' or ') ~ ')') -}}
        {%- endif -%}
        {%- if condition.n is not integer -%}{{- segment_error("n_of takes a number and a list of conditions", 'n_of') -}}{%- endif -%}
        {%- set ones = [] -%}
        {%- for part in parts -%}{%- do ones.append('case when ' ~ part ~ ' then 1 else 0 end') -%}{%- endfor -%}
        {{- return('(' ~ ones | join(' + ') ~ ' >= ' ~ condition.n ~ ')') -}}
    {%- elif op in ['percent', 'number'] -%}
        {{- return(rank_expression(condition, plan, own)) -}}
    {%- elif op == 'in_segment' and not plan.alone and condition.name in plan.names -%}
        {{- return(plan.members[condition.name]) -}}
    {%- elif op == 'is_static' -%}
        {{- return(leaf({'op': 'is_static', 'name': own}, plan)) -}}
    {%- elif op == 'hysteresis' -%}
        {%- set enter, leave = expression_of(condition.enter, plan, own), expression_of(condition.leave, plan, own) -%}
        {%- set was = plan.was or leaf({'op': 'was_member', 'name': own}, plan) -%}
        {{- return('(' ~ enter ~ ' or (' ~ was ~ ' and not ' ~ leave ~ '))') -}}
    {%- endif -%}
    {{- return(leaf(condition, plan)) -}}
{%- endmacro %}

{#- Name of a condition's column; an equal condition has one already. -#}
{% macro leaf(condition, plan) -%}
    {%- if condition.op == 'in_segment' -%}
        {%- if plan.past -%}
            {{- segment_error("segment '" ~ condition.name ~ "' is a plain select, which has no past", condition.name) -}}
        {%- endif -%}
        {%- set condition = {'op': 'is_listed', 'name': condition.name} -%}
    {%- endif -%}
    {%- set key = tojson(condition, sort_keys=true) -%}
    {%- if key not in plan.conditions -%}
        {%- set made = condition_sql(condition, plan) -%}
        {%- set name = 'c' ~ (plan.conditions | length + 1) -%}
        {%- do plan.conditions.update({key: name}) -%}
        {%- do plan.order.append({'name': name, 'sql': made.sql, 'values': made['values'], 'condition': condition}) -%}
    {%- endif -%}
    {{- return(plan.conditions[key]) -}}
{%- endmacro %}

{#- --- ranks among all ---------------------------------------------------------------------------------------------------------- -#}

{#- Column of `conditions` that carries a property of a person. -#}
{% macro rank_value(property, plan) -%}
    {%- set type = column_type(property, 'person', plan) -%}
    {%- if type in ['text', 'boolean'] -%}{{- segment_error("'" ~ property ~ "' is a " ~ type ~ ': there is no more or less of it', property) -}}{%- endif -%}
    {%- do use_person_column(property, plan) -%}
    {%- if property not in plan.ranked -%}{%- do plan.ranked.update({property: 'v' ~ (plan.ranked | length + 1)}) -%}{%- endif -%}
    {{- return(plan.ranked[property]) -}}
{%- endmacro %}

{% macro rank_expression(condition, plan, own) -%}
    {%- set value = rank_value(condition.property, plan) -%}
    {%- set parts = [value ~ ' is not null'] -%}
    {%- for one in condition.among -%}
        {%- if one.op in ['in_segment', 'hysteresis', 'percent', 'number'] -%}
            {{- segment_error("among does not take " ~ one.op, 'among') -}}
        {%- endif -%}
        {%- do parts.append(expression_of(one, plan, own)) -%}
    {%- endfor -%}
    {%- set among = '(' ~ parts | join(' and ') ~ ')' -%}
    {%- set direction = ' desc' if condition.from == 'top' else ' asc' -%}
    {%- set over = ' over (partition by as_of, ' ~ among ~ ' order by ' ~ value ~ direction ~ ' nulls last' -%}
    {%- if condition.op == 'percent' -%}
        {%- if condition.percent is not number or not 0 < condition.percent <= 100 -%}
            {{- segment_error("'" ~ condition.percent ~ "' is no share in percent", condition.property) -}}
        {%- endif -%}
        {%- set sql = '(' ~ among ~ ' and (rank()' ~ over ~ ') - 1) * 100 < ' ~ condition.percent ~ ' * count(*) over (partition by as_of, ' ~ among ~ '))' -%}
    {%- else -%}
        {%- if condition.n is not integer or condition.n < 1 -%}
            {{- segment_error("'" ~ condition.n ~ "' is no number of people", condition.property) -}}
        {%- endif -%}
        {%- set sql = '(' ~ among ~ ' and row_number()' ~ over ~ ', ' ~ dbt.hash('profile_id') ~ ' asc) <= ' ~ condition.n ~ ')' -%}
    {%- endif -%}
    {%- if sql not in plan.ranks -%}{%- do plan.ranks.update({sql: 'r' ~ (plan.ranks | length + 1)}) -%}{%- endif -%}
    {{- return(plan.ranks[sql]) -}}
{%- endmacro %}

{#- --- what is read ------------------------------------------------------------------------------------------------------------- -#}

{% macro passes_of(plan) -%}
    {%- set found = [] -%}
    {%- for source, read in plan.sources.items() if read.measures -%}{%- do found.append(source ~ '_pass') -%}{%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}

{#- CTEs: the instants and what is counted back from them, the rows that are read, the passes over them. -#}
{% macro plan_ctes(plan) -%}
    {%- set rows = {} -%}
    {%- for source in plan.sources -%}{%- do rows.update({source: source_rows(source, plan)}) -%}{%- endfor -%}
instants as (
    {% if plan.past %}
    {{ cutoffs_at(plan.cutoffs) | indent(4) }}
    {%- else %}
    select
        as_of,
        known_at,
        {{ local_date(add_microseconds('as_of', -1)) }} as as_of_on
    from {{ source('control', 'clock') }}
    {%- endif %}

),

cutoffs as (

    select
        instants.as_of,
        instants.known_at,
        instants.as_of_on
        {%- if plan.past %},
        instants.cutoff_number
        {%- endif %}
        {%- for name, sql in plan.offsets.items() %},
        {{ sql }} as {{ name }}
        {%- endfor %}
    from instants

)
    {%- if plan.past %},

{{ past_ctes(plan) }}
    {%- endif %}
    {%- for source, query in rows.items() %},

{{ source }}_events as (

    {{ query }}

)
    {%- endfor %}
    {%- for source, read in plan.sources.items() if read.measures %},

{{ source }}_pass as (

    select
        {{ plan.key_columns }}
        {%- for aggregate, name in read.measures.items() %},
        {{ aggregate }} as {{ name }}
        {%- endfor %}
    from {{ source }}_events as events
    {{ plan.join_cutoffs }}
    group by {{ plan.key_columns }}

)
    {%- endfor %}
    {%- for query, name in plan.queries.items() %},

{{ name }} as (

    {{ query }}

)
    {%- endfor %}
{%- endmacro %}

{#- The rows of a source: of people, visible at the cut-off, of the events and days that are asked for, and their columns in use. -#}
{% macro source_rows(source, plan) -%}
    {%- set read = plan.sources[source] -%}
    {%- if source == 'daily' -%}{{- return(daily_rows(read, plan)) -}}{%- endif -%}
    {%- if source not in segment_facts() -%}{{- return(record_rows(source, plan)) -}}{%- endif -%}
    {%- set fact = segment_facts()[source] -%}
    {%- set others = {} -%}
    {%- for column, other in (fact.others or {}).items() if column in read.columns -%}{%- do others.update({column: other}) -%}{%- endfor -%}
    {#- in the past, whose an event was is told by the links of then -#}
    {%- set person = 'links.profile_id' if plan.past and source in ['web', 'email'] else 'facts.profile_id' -%}
    {%- set conditions = [person ~ ' is not null'] -%}
    {%- if 'true' not in read['is'] -%}
        {%- do conditions.append('(' ~ (read['is'] | unique | join(' or ')).replace('events.', 'facts.') ~ ')') -%}
    {%- endif -%}
    {%- if read.back is not none -%}{%- do conditions.append('facts.' ~ fact.on ~ ' > ' ~ days_ago(read.back, plan)) -%}{%- endif -%}
    {%- set from = fact_source(source, fact, plan, conditions) %}
select
        {{ 'cutoffs.as_of, ' if plan.past }}{{ person }},
        facts.{{ fact.at }} as happened_at,
        facts.{{ fact.on }} as happened_on
        {%- for column in fact.tells %},
        facts.{{ column }}
        {%- endfor %}
        {%- for column in read.columns | unique %},
        {{ others[column][0] if column in others else 'facts' }}.{{ column }}
        {%- endfor %}
    from {{ from }}
    {%- for column, other in others.items() %}
    left join {{ ref(other[0]) }} as {{ other[0] }} on facts.{{ other[1] }} = {{ other[0] }}.{{ other[1] }}
    {%- endfor %}
    where
        {{ conditions | join('\n        and ') }}
{%- endmacro %}

{#- From where a fact is read. Now, the fact is what is visible; in the past, what had happened, was known and linked by then. -#}
{% macro fact_source(source, fact, plan, conditions) -%}
    {%- if not plan.past -%}
        {%- if fact.only -%}{%- do conditions.append(fact.only) -%}{%- endif -%}
        {{- return(ref(fact.relation) ~ ' as facts\n    cross join cutoffs') -}}
    {%- elif source in ['web', 'email'] -%}
        {{- return(
            ref(fact.relation) ~ ' as facts\n    inner join links_then as links on facts.identifier_type = links.identifier_type'
            ~ ' and facts.identifier_value = links.identifier_value\n    inner join cutoffs on links.cutoff_number = cutoffs.cutoff_number'
            ~ ' and facts.' ~ fact.at ~ ' < cutoffs.as_of and facts.known_at <= cutoffs.known_at'
        ) -}}
    {%- endif -%}
    {%- if fact.only -%}{%- do conditions.append(fact.only) -%}{%- endif -%}
    {{- return(source ~ '_then as facts\n    inner join cutoffs on facts.as_of = cutoffs.as_of') -}}
{%- endmacro %}

{% macro daily_rows(read, plan) %}
select
        days.profile_id,
        days.activity_on as happened_on
        {%- for column in read.columns | unique %},
        days.{{ column }}
        {%- endfor %}
    from {{ ref('profile_daily') }} as days
    cross join cutoffs
    {%- if read.back is not none %}
    where days.activity_on > {{ days_ago(read.back, plan) }}
    {%- endif %}
{%- endmacro %}

{#- Interests, consent, recorded memberships and transitions, members of other segments: small, and read as they are. -#}
{% macro record_rows(records, plan) -%}
    {%- set as_of = 'cutoffs.as_of, ' if plan.past else '' -%}
    {%- if records == 'interests' %}
select {{ as_of }}records.profile_id, records.interest
    from {{ ref('profile_interests') }} as records
    cross join cutoffs
    {%- if plan.past %} where records.stated_at < cutoffs.as_of{% endif %}
    {%- elif records == 'consent' %}
select {{ as_of }}records.profile_id, records.channel, records.purpose, records.is_mailable
    from {{ ref('dim_consent') }} as records
    cross join cutoffs
    {%- elif records == 'transitions' %}
select {{ as_of }}records.profile_id, records.vocabulary, records.to_stage, records.transitioned_at
    from {{ ref('lifecycle_transitions') }} as records
    cross join cutoffs
    where records.transitioned_at < cutoffs.as_of
    {%- elif records == 'history' %}
        {#- no ref: it is written after this, and what earlier builds recorded is read -#}
        {%- set recorded = adapter.get_relation(database=target.database, schema=target.schema, identifier='segment_membership_history') %}
        {%- if recorded is none %}
select {{ as_of }}cast(null as {{ dbt.type_string() }}) as profile_id, cast(null as {{ dbt.type_string() }}) as segment_name,
        cast(null as timestamp) as entered_at, cast(null as timestamp) as left_at
    from cutoffs
    where 1 = 0
        {%- else %}
        {#- who became one with somebody else is found by her new id before the history follows -#}
select {{ as_of }}coalesce(successions.profile_id, records.profile_id) as profile_id, records.segment_name, records.entered_at, records.left_at
    from {{ recorded }} as records
    left join {{ ref('identity_successions') }} as successions on records.profile_id = successions.former_profile_id
    cross join cutoffs
    where records.entered_at < cutoffs.as_of
        {%- endif %}
    {%- elif records == 'static' %}
        {#- what somebody put on a list holds from the next build on, whatever the clock says #}
select distinct {{ as_of }}links.profile_id, records.segment_name
    from {{ source('segments', 'static_members') }} as records
    inner join {{ ref('int_identity__identifier_profiles') }} as links
        on records.identifier_type = links.identifier_type and records.identifier_value = links.identifier_value
    cross join cutoffs
    where {{ 'records.added_at < cutoffs.as_of and (records.removed_at is null or records.removed_at >= cutoffs.as_of)'
        if plan.past else 'records.removed_at is null' }}
    {%- else %}
select {{ as_of }}records.profile_id
    from {{ ref(records) }} as records
    cross join cutoffs
    where records.profile_id is not null
    {%- endif %}
{%- endmacro %}

{#- A member of another segment, which is read as it was built. -#}
{% macro listed_sql(condition, plan) -%}
    {%- set n = measure('seg_' ~ condition.name, 'count(*)', plan) -%}
    {{- return({'sql': n ~ ' > 0', 'values': [['is a member', 'coalesce(' ~ n ~ ' > 0, false)']]}) -}}
{%- endmacro %}

{#- On a list that somebody made. -#}
{% macro static_sql(condition, plan) -%}
    {%- set n = measure('static', 'count(case when events.segment_name = ' ~ quoted(condition.name) ~ ' then 1 end)', plan) -%}
    {{- return({'sql': n ~ ' > 0', 'values': []}) -}}
{%- endmacro %}

{% macro person_relation_sql(relation, plan) -%}
    {{- return(relation ~ '_then' if plan.past and relation != 'dim_profiles' else ref(relation)) -}}
{%- endmacro %}

{#- What is known of people as of past instants, by the same macros that make today's tables. -#}
{% macro past_ctes(plan) -%}
links_then as (

    select * from ( {{ links_at('instants') }} ) as links_at

),

features as (
    {% if plan.people | reject('equalto', 'dim_profiles') | list %}
    select * from ( {{ profile_features('instants', in_memory=not plan.follows) }} ) as features_then
    {%- else %}
    -- nobody asks for a feature: just who was known
    select distinct
        links_then.profile_id,
        instants.as_of
    from links_then
    inner join instants on links_then.cutoff_number = instants.cutoff_number
    {%- endif %}

)
    {%- for relation, query in [
        ('lifecycle_stages', lifecycle_stages), ('engagement_levels', engagement_levels), ('rfm_scores', rfm_scores)
    ] if relation in plan.people %},

{{ relation }}_then as (

    select * from ( {{ query('features') }} ) as {{ relation }}_at

)
    {%- endfor %}
    {%- if 'orders' in plan.sources or 'lines' in plan.sources %},

lines_then as (

    select * from ( {{ order_lines_at('instants', 'links_then') }} ) as lines_at

),

orders_then as (

    select
        lines_then.as_of,
        lines_then.profile_id,
        lines_then.order_id,
        orders.channel,
        orders.country,
        lines_then.currency,
        min(lines_then.ordered_at) as ordered_at,
        min(lines_then.ordered_on) as ordered_on,
        sum(lines_then.net_quantity) as net_quantity,
        sum(lines_then.net_revenue) as net_revenue,
        sum(lines_then.net_quantity) > 0 as is_purchase
    from lines_then
    left join {{ ref('int_orders__current') }} as orders on lines_then.order_id = orders.order_id
    group by
        lines_then.as_of, lines_then.profile_id, lines_then.order_id, orders.channel, orders.country, lines_then.currency

)
    {%- endif %}
{%- endmacro %}

{#- One line on what is read, above the query: the compile report. -#}
{% macro plan_comment(plan) -%}
    {%- set lines = [] -%}
    {%- for source, read in plan.sources.items() if source in segment_facts() or source == 'daily' -%}
        {%- do lines.append(
            '-- ' ~ source ~ ': ' ~ ('one pass' if source != 'daily' else 'days')
            ~ (' over all of history' if read.back is none else ' over the last ' ~ read.back ~ ' days')
            ~ ', ' ~ read.measures | length ~ ' measures'
        ) -%}
    {%- endfor -%}
    {%- do lines.append(
        '-- ' ~ plan.conditions | length ~ ' conditions of ' ~ plan.members | length ~ ' segments, '
        ~ plan.queries | length ~ ' queries of their own over those rows'
    ) -%}
    {{- return(lines | join('\n')) -}}
{%- endmacro %}
