{#- Why somebody is, or is not, in a segment: each condition in words, whether it holds, and the values that decide it. -#}

{#-
  CTE `final`: for the person `why` one row per condition of each segment, the segment itself first (position 0).
  segment_name, position, depth (of nesting), condition (text), holds (boolean), deciding (text: name = value; …).
-#}
{% macro why_ctes(definitions, plan, members, why) -%}
    {%- set rows = [] -%}
    {%- for definition in definitions -%}
        {%- set start = rows | length -%}
        {%- do rows.append({
            'segment': definition.name, 'position': 0, 'depth': 0, 'text': 'is a member', 'sql': plan.members[definition.name], 'values': [],
        }) -%}
        {%- for part in [
            ('all of', definition.all_of), ('any of', definition.any_of), ('none of', definition.none_of),
        ] if part[1] -%}
            {%- set depth = 1 -%}
            {%- if part[0] != 'all of' -%}
                {%- set whole = {'op': part[0] | replace(' ', '_'), 'conditions': part[1]} -%}
                {%- do rows.extend(why_rows(whole, plan, definition.name, 1)) -%}
            {%- else -%}
                {%- for condition in part[1] -%}{%- do rows.extend(why_rows(condition, plan, definition.name, 1)) -%}{%- endfor -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if definition.capacity is not none -%}
            {%- do rows.append({
                'segment': definition.name, 'depth': 1, 'sql': plan.members[definition.name],
                'values': [[definition.by, 'cast(' ~ rank_value(definition.by, plan) ~ ' as ' ~ dbt.type_string() ~ ')']],
                'text': 'is one of the ' ~ definition.capacity ~ ' with the ' ~ ('lowest ' if definition.smallest_first else 'highest ') ~ definition.by,
            }) -%}
        {%- endif -%}
        {%- for index in range(start, rows | length) -%}{%- do rows[index].update({'segment': definition.name, 'position': index - start}) -%}{%- endfor -%}
    {%- endfor -%}
final as (
    {% for row in rows %}
    select
        {{ quoted(row.segment) }} as segment_name,
        {{ row.position }} as position,
        {{ row.depth }} as depth,
        {{ quoted(row.text) }} as condition,
        {{ row.sql }} as holds,
        {% if row['values'] -%}
        {% for value in row['values'] -%}
        {{ quoted(('; ' if not loop.first else '') ~ value[0] ~ ' = ') }} || coalesce({{ value[1] }}, 'unknown'){{ ' || ' if not loop.last }}
        {%- endfor %} as deciding
        {%- else -%}
        cast(null as {{ dbt.type_string() }}) as deciding
        {%- endif %}
    from {{ members }}
    where profile_id = {{ quoted(why) }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

)
{%- endmacro %}

{#- Rows of a condition and of what it is composed of. -#}
{% macro why_rows(condition, plan, own, depth) -%}
    {%- set row = {'depth': depth, 'text': condition_text(condition), 'sql': expression_of(condition, plan, own), 'values': []} -%}
    {%- set rows = [row] -%}
    {%- set parts = condition.conditions if condition.conditions else
        [condition.enter, condition.leave] if condition.op == 'hysteresis' else condition.among or [] -%}
    {%- if condition.op in ['all_of', 'any_of', 'none_of', 'n_of', 'hysteresis', 'percent', 'number'] -%}
        {%- if condition.op in ['percent', 'number'] -%}
            {%- do row.update({'values': [[condition.property, 'cast(' ~ rank_value(condition.property, plan) ~ ' as ' ~ dbt.type_string() ~ ')']]}) -%}
        {%- endif -%}
        {%- for part in parts -%}{%- do rows.extend(why_rows(part, plan, own, depth + 1)) -%}{%- endfor -%}
        {%- if condition.op == 'hysteresis' -%}
            {%- do rows.extend(why_rows({'op': 'was_member', 'name': own}, plan, own, depth + 1)) -%}
        {%- endif -%}
    {%- elif condition.op == 'in_segment' -%}
    {%- else -%}
        {%- for leaf in plan.order if leaf.name == row.sql -%}
            {%- for value in leaf['values'] -%}{%- do row['values'].append([value[0], leaf.name ~ '_value_' ~ loop.index]) -%}{%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(rows) -}}
{%- endmacro %}

{#- A condition in words. -#}
{% macro condition_text(condition) -%}
    {%- set op = condition.op -%}
    {%- if op == 'prop' -%}
        {{- return(condition.name ~ ' ' ~ condition.test ~ (' ' ~ spoken(condition.value) if condition.value is not none else '')) -}}
    {%- elif op == 'did' -%}
        {%- set number = 'did not do ' if condition.at_most == 0
            else 'did, ' ~ condition.at_least ~ ' to ' ~ condition.at_most ~ ' times, ' if condition.at_most is not none
            else 'did ' if condition.at_least == 1 else 'did at least ' ~ condition.at_least ~ ' times ' -%}
        {{- return(number ~ event_text(condition) ~ (', with one ' ~ condition.in_one if condition.in_one else '')) -}}
    {%- elif op == 'total' -%}
        {{- return(condition.aggregate ~ ' of ' ~ condition.column ~ ' ' ~ condition.test ~ ' ' ~ spoken(condition.value) ~ ' over ' ~ event_text(condition)) -}}
    {%- elif op in ['first_time', 'last_time'] -%}
        {{- return(op | replace('_', ' ') ~ ' ' ~ event_text(condition)) -}}
    {%- elif op in ['first_was', 'last_was'] -%}
        {{- return('the ' ~ op[:-4] ~ ' ' ~ condition.event ~ ' was one ' ~ tests_text(condition.where)) -}}
    {%- elif op in ['sequence', 'then_not'] -%}
        {%- set steps = [] -%}
        {%- for one in condition.steps -%}{%- do steps.append(one.event ~ (' ' ~ tests_text(one.where) if one.where else '')) -%}{%- endfor -%}
        {{- return(
            steps | join(', then ' if op == 'sequence' else ', then not ')
            ~ (' within ' ~ condition.gap if condition.gap else '') ~ (' with the same ' ~ condition.same if condition.same else '')
            ~ (', begun' ~ window_text(condition) if window_text(condition) else '')
        ) -}}
    {%- elif op == 'regularly' -%}
        {{- return(condition.event ~ ' in at least ' ~ condition.at_least ~ ' of the last ' ~ condition.of ~ ' periods of ' ~ condition.period) -}}
    {%- elif op == 'trend' -%}
        {{- return('the last ' ~ condition.period ~ ' of ' ~ condition.event ~ ', over those before, ' ~ condition.test ~ ' ' ~ spoken(condition.value)) -}}
    {%- elif op in ['percent', 'number'] -%}
        {{- return(
            'among the ' ~ condition.from ~ ' ' ~ (condition.percent ~ ' percent' if op == 'percent' else condition.n) ~ ' by ' ~ condition.property
            ~ (' of those who' if condition.among else '')
        ) -}}
    {%- elif op in ['all_of', 'any_of', 'none_of'] -%}{{- return(op | replace('_', ' ')) -}}
    {%- elif op == 'n_of' -%}{{- return('at least ' ~ condition.n ~ ' of') -}}
    {%- elif op == 'in_segment' -%}{{- return('is in ' ~ condition.name) -}}
    {%- elif op in ['entered', 'left'] -%}{{- return(op ~ ' ' ~ condition.name ~ ' within ' ~ condition.within) -}}
    {%- elif op == 'has_been_in' -%}{{- return('has been in ' ~ condition.name ~ ' for ' ~ condition.at_least) -}}
    {%- elif op == 'was_in' -%}{{- return('was in ' ~ condition.name ~ ' on ' ~ condition.on) -}}
    {%- elif op == 'has_been_in_stage' -%}{{- return('has been ' ~ condition.stage ~ ' for ' ~ condition.at_least) -}}
    {%- elif op == 'hysteresis' -%}{{- return('enters by the first of these, leaves by the second') -}}
    {%- elif op == 'interested_in' -%}{{- return('is interested in ' ~ condition.match ~ ' of ' ~ condition.topics | join(', ')) -}}
    {%- elif op == 'anniversary' -%}{{- return('anniversary of ' ~ condition.column ~ ' within the next ' ~ condition.within_next) -}}
    {%- elif op == 'random_share' -%}
        {{- return(condition.percent ~ ' percent by ' ~ condition.salt ~ (', from ' ~ condition.start if condition.start else '')) -}}
    {%- elif op == 'can_receive' -%}{{- return('may be written to: ' ~ condition.channel ~ ', ' ~ condition.purpose) -}}
    {%- elif op == 'is_static' -%}{{- return('is on the list') -}}
    {%- elif op == 'was_member' -%}{{- return('was in it at the last recorded build') -}}
    {%- endif -%}
    {{- return(op) -}}
{%- endmacro %}

{% macro event_text(condition) -%}
    {{- return(
        condition.event ~ (' (machines too)' if condition.human is sameas false else '') ~ window_text(condition)
        ~ (' ' ~ tests_text(condition.where) if condition.where else '')
    ) -}}
{%- endmacro %}

{% macro tests_text(tests) -%}
    {%- set texts = [] -%}
    {%- for test in tests -%}{%- do texts.append(condition_text(test)) -%}{%- endfor -%}
    {{- return('where ' ~ texts | join(' and ')) -}}
{%- endmacro %}

{% macro window_text(condition) -%}
    {{- return(
        ' within ' ~ condition.within if condition.within
        else ' between ' ~ (condition.between[0] or 'any time') ~ ' and ' ~ condition.between[1] ~ ' ago' if condition.between
        else (' since ' ~ condition.since if condition.since else '') ~ (' until ' ~ condition.until if condition.until else '')
    ) -}}
{%- endmacro %}

{% macro spoken(value) -%}
    {{- return(value | join(', ') if value is iterable and value is not string and value is not mapping else value | string) -}}
{%- endmacro %}

{#- Query for `mailwright segment why`; none for a plain select. -#}
{% macro why_query(name, profile_id) -%}
    {%- if segment_definition(name) is none -%}{{- return(none) -}}{%- endif -%}
    {{- return(members_query(definitions_with([name]), why=profile_id)) -}}
{%- endmacro %}
