{#-
  What each condition becomes in SQL. Each macro returns {sql, values}: a boolean over one row per person (features and what is joined
  to them in members.sql), and the values that decide it, for `why`. What it needs is noted in the plan: measures of the pass over
  a fact, queries of its own, relations of the person.
-#}

{% macro condition_sql(condition, plan) -%}
    {%- set op = condition.op -%}
    {%- if op == 'prop' -%}{{- return(prop_sql(condition, plan)) -}}
    {%- elif op == 'did' -%}{{- return(did_sql(condition, plan)) -}}
    {%- elif op == 'total' -%}{{- return(total_sql(condition, plan)) -}}
    {%- elif op in ['first_time', 'last_time'] -%}{{- return(end_time_sql(condition, plan)) -}}
    {%- elif op in ['first_was', 'last_was'] -%}{{- return(end_was_sql(condition, plan)) -}}
    {%- elif op in ['sequence', 'then_not'] -%}{{- return(chain_sql(condition, plan)) -}}
    {%- elif op == 'regularly' -%}{{- return(regularly_sql(condition, plan)) -}}
    {%- elif op == 'trend' -%}{{- return(trend_sql(condition, plan)) -}}
    {%- elif op == 'interested_in' -%}{{- return(interested_sql(condition, plan)) -}}
    {%- elif op == 'can_receive' -%}{{- return(can_receive_sql(condition, plan)) -}}
    {%- elif op == 'anniversary' -%}{{- return(anniversary_sql(condition, plan)) -}}
    {%- elif op == 'random_share' -%}{{- return(random_share_sql(condition)) -}}
    {%- elif op in ['entered', 'left', 'has_been_in', 'was_in', 'was_member'] -%}{{- return(history_sql(condition, plan)) -}}
    {%- elif op == 'has_been_in_stage' -%}{{- return(stage_history_sql(condition, plan)) -}}
    {%- elif op == 'is_listed' -%}{{- return(listed_sql(condition, plan)) -}}
    {%- elif op == 'is_static' -%}{{- return(static_sql(condition, plan)) -}}
    {%- else -%}{{- segment_error("'" ~ op ~ "' is no condition", op) -}}
    {%- endif -%}
{%- endmacro %}

{#- --- the person --------------------------------------------------------------------------------------------------------------- -#}

{% macro prop_sql(condition, plan) -%}
    {%- set test = test_sql(condition, 'person', plan) -%}
    {%- do use_person_column(condition.name, plan) -%}
    {%- set values = [[condition.name, column_sql(condition.name, 'person')]] -%}
    {%- if 'column' in condition.test -%}
        {%- do use_person_column(condition.value, plan) -%}
        {%- do values.append([condition.value, column_sql(condition.value, 'person')]) -%}
    {%- endif -%}
    {{- return({'sql': test, 'values': values}) -}}
{%- endmacro %}

{% macro use_person_column(name, plan) -%}{%- do plan.people.update({person_relation_of(name): true}) -%}{%- endmacro %}

{% macro interested_sql(condition, plan) -%}
    {%- set found = [] -%}
    {%- for topic in condition.topics -%}
        {%- do found.append('coalesce(' ~ measure(
            'interests',
            'count(case when ' ~ fold_case(trim_blanks('events.interest')) ~ ' = ' ~ fold_case(trim_blanks(quoted(topic)))
            ~ ' then 1 end)', plan
        ) ~ ', 0) > 0') -%}
    {%- endfor -%}
    {%- if condition.match not in ['any', 'all', 'none'] -%}
        {{- segment_error("match is 'any', 'all' or 'none', and '" ~ condition.match ~ "' is none of them", condition.match) -}}
    {%- endif -%}
    {%- set sql = '(' ~ found | join(' and ' if condition.match == 'all' else ' or ') ~ ')' -%}
    {{- return({'sql': 'not ' ~ sql if condition.match == 'none' else sql, 'values': [['is interested', sql]]}) -}}
{%- endmacro %}

{% macro can_receive_sql(condition, plan) -%}
    {%- set n = measure(
        'consent',
        'count(case when events.channel = ' ~ quoted(condition.channel) ~ ' and events.purpose = ' ~ quoted(condition.purpose)
        ~ ' and events.is_mailable then 1 end)', plan
    ) -%}
    {{- return({'sql': n ~ ' > 0', 'values': [['may be written to', 'coalesce(' ~ n ~ ' > 0, false)']]}) -}}
{%- endmacro %}

{#- The n-th return of a day is that day n years later; 29 February moves to the 28th and back. -#}
{% macro anniversary_sql(condition, plan) -%}
    {%- set type = column_type(condition.column, 'person', plan) -%}
    {%- if type != 'timestamp' -%}
        {{- segment_error("'" ~ condition.column ~ "' is a " ~ type ~ ", and an anniversary is that of an instant", condition.column) -}}
    {%- endif -%}
    {%- do use_person_column(condition.column, plan) -%}
    {%- do plan.people.update({'dim_profiles': true}) -%}
    {%- do plan.update({'zones': true}) -%}
    {%- set zone = "coalesce(time_zones.zone, '" ~ var('business_time_zone') ~ "')" -%}
    {%- set today = local_date_in(add_microseconds('cutoffs.as_of', -1), zone) -%}
    {%- set day = local_date_in(column_sql(condition.column, 'person'), zone) -%}
    {%- set years = calendar_year(today) ~ ' - ' ~ calendar_year(day) -%}
    {%- set days = days_of(condition.within_next) -%}
    {%- set returns = [] -%}
    {%- for more in range(0, days // 366 + 2) -%}
        {%- set again = add_years(day, years ~ ' + ' ~ more) -%}
        {%- do returns.append(
            '(' ~ years ~ ' + ' ~ more ~ ' >= 1 and ' ~ again ~ ' >= ' ~ today ~ ' and ' ~ again ~ ' < ' ~ add_days(today, days) ~ ')'
        ) -%}
    {%- endfor -%}
    {{- return({
        'sql': '(' ~ returns | join(' or ') ~ ')',
        'values': [[condition.column, column_sql(condition.column, 'person')], ['time zone', zone]],
    }) -}}
{%- endmacro %}

{% macro random_share_sql(condition) -%}
    {%- set bucket = hash_bucket(condition.salt, 'profile_features.profile_id') -%}
    {%- set from, to = (condition.start * 100) | round(6), ((condition.start + condition.percent) * 100) | round(6) -%}
    {%- if from < 0 or condition.percent <= 0 or to > 10000 -%}
        {{- segment_error("a share lies between 0 and 100 percent", condition.salt) -}}
    {%- endif -%}
    {{- return({
        'sql': bucket ~ ' >= ' ~ from ~ ' and ' ~ bucket ~ ' < ' ~ to, 'values': [['bucket', bucket ~ ' / 100.0']],
    }) -}}
{%- endmacro %}

{#- --- events ------------------------------------------------------------------------------------------------------------------- -#}

{#- What is read of a source: which of its events, how many days back (none: all), which columns, and the aggregates of its pass. -#}
{% macro reading(source, plan) -%}
    {{- return(plan.sources.setdefault(source, {'is': [], 'back': 0, 'columns': [], 'measures': {}, 'queries': 0})) -}}
{%- endmacro %}

{% macro read_back(source, days, plan) -%}
    {%- set source_read = reading(source, plan) -%}
    {%- do source_read.update({
        'back': none if days is none or source_read.back is none else [days, source_read.back] | max,
    }) -%}
{%- endmacro %}

{#- {fact, parts}: what makes the row `events` such an event in a window; with `reach`, rows further back are read too. -#}
{% macro such_event(one, window, plan, reach=none) -%}
    {%- set event = checked_event(one.event) -%}
    {%- set source_read = reading(event.fact, plan) -%}
    {%- set parts = [event.is] if event.is else [] -%}
    {%- if event.human and one.human is sameas true -%}{%- do parts.append('not events.is_machine') -%}{%- endif -%}
    {%- if one.where is string or one.where is mapping -%}
        {{- segment_error('where takes a list of tests: [prop(…), …]', one.event) -}}
    {%- endif -%}
    {%- for test in one.where or [] -%}
        {%- if test is not mapping or test.op != 'prop' -%}
            {{- segment_error('where takes a list of tests: [prop(…), …]', one.event) -}}
        {%- endif -%}
        {%- do parts.append(test_sql(test, event.fact, plan)) -%}
        {%- do source_read.columns.extend([test.name] + ([test.value] if 'column' in test.test else [])) -%}
    {%- endfor -%}
    {%- set inside = in_window(window, 'events.happened_at', 'events.happened_on', plan) if window else none -%}
    {%- do source_read['is'].append(event.is or 'true') -%}
    {%- do read_back(event.fact, days_back(reach or window) if reach or window else none, plan) -%}
    {{- return({'fact': event.fact, 'sql': (parts + ([inside] if inside else [])) | join(' and ') or 'true'}) -}}
{%- endmacro %}

{% macro checked_event(name) -%}
    {%- set known = segment_events() -%}
    {%- do checked_name(name, known, 'event') -%}
    {{- return(known[name]) -}}
{%- endmacro %}

{#- Expression of an event's column, which is noted as read. -#}
{% macro event_column(name, fact, plan) -%}
    {%- do column_type(name, fact, plan) -%}
    {%- do reading(fact, plan).columns.append(name) -%}
    {{- return('events.' ~ name) -}}
{%- endmacro %}

{#- The same, unknown where it is an empty text. -#}
{% macro known_value(name, fact, plan) -%}
    {%- set column = event_column(name, fact, plan) -%}
    {{- return('nullif(' ~ column ~ ", '')" if column_type(name, fact, plan) == 'text' else column) -}}
{%- endmacro %}

{#- Column of the pass over a source: an aggregate over its rows `events`, written once however many conditions ask for it. -#}
{% macro measure(source, aggregate, plan) -%}
    {%- set measures = reading(source, plan).measures -%}
    {%- if aggregate not in measures -%}{%- do measures.update({aggregate: 'm' ~ (measures | length + 1)}) -%}{%- endif -%}
    {{- return(source ~ '_pass.' ~ measures[aggregate]) -}}
{%- endmacro %}

{#- A query of its own over rows that are read anyway, with a row per person; returns its name. Equal ones are written once. -#}
{% macro own_query(query, plan) -%}
    {%- if query not in plan.queries -%}{%- do plan.queries.update({query: 'q' ~ (plan.queries | length + 1)}) -%}{%- endif -%}
    {{- return(plan.queries[query]) -}}
{%- endmacro %}

{#- number of the events of a condition in a window, never null. -#}
{% macro number_of(condition, window, plan) -%}
    {%- set counted = counted_in(condition, plan) -%}
    {%- if counted.by == 'daily' -%}
        {%- do read_back('daily', days_back(window), plan) -%}
        {%- do reading('daily', plan).columns.append(counted.measure) -%}
        {%- set inside = in_window(window, none, 'events.happened_on', plan) -%}
        {%- set n = 'events.' ~ counted.measure -%}
        {{- return('coalesce(' ~ measure(
            'daily', 'sum(' ~ ('case when ' ~ inside ~ ' then ' ~ n ~ ' end' if inside else n) ~ ')', plan
        ) ~ ', 0)') -}}
    {%- endif -%}
    {%- set such = such_event(condition, window, plan) -%}
    {{- return('coalesce(' ~ measure(such.fact, 'count(case when ' ~ such.sql ~ ' then 1 end)', plan) ~ ', 0)') -}}
{%- endmacro %}

{#- As counted_by; in the past, where features would have to be made for each instant, the events themselves are counted. -#}
{% macro counted_in(condition, plan) -%}
    {{- return({'by': 'fact'} if plan.past else counted_by(condition)) -}}
{%- endmacro %}

{% macro within_bounds(n, condition) -%}
    {%- set parts = [] -%}
    {%- for bound, comparison in [(condition.at_least, ' >= '), (condition.at_most, ' <= ')] if bound is not none -%}
        {%- if bound is not integer -%}{{- segment_error("'" ~ bound ~ "' is no number of events", condition.event) -}}{%- endif -%}
        {%- do parts.append(n ~ comparison ~ bound) -%}
    {%- endfor -%}
    {{- return(parts | join(' and ') or 'true') -}}
{%- endmacro %}

{% macro did_sql(condition, plan) -%}
    {%- do checked_event(condition.event) -%}
    {%- set window = window_of(condition) -%}
    {%- set counted = counted_in(condition, plan) -%}
    {%- if counted.by == 'feature' -%}
        {%- set n = 'profile_features.' ~ counted.column -%}
        {{- return({'sql': within_bounds(n, condition), 'values': [[counted.column, n]]}) -}}
    {%- elif not condition.in_one -%}
        {%- set n = number_of(condition, window, plan) -%}
        {{- return({'sql': within_bounds(n, condition), 'values': [['number', n]]}) -}}
    {%- endif -%}
    {%- set such = such_event(condition, window, plan) -%}
    {%- set key = known_value(condition.in_one, such.fact, plan) -%}
    {%- set query -%}
select {{ plan.key_columns }}, max(case when {{ within_bounds('events.n', condition) }} then 1 else 0 end) as holds, max(events.n) as n
    from (
        select {{ plan.key_columns }}, {{ key }} as value, count(*) as n
        from {{ such.fact }}_events as events
        {{ plan.join_cutoffs }}
        where {{ such.sql }} and {{ key }} is not null
        group by {{ plan.key_columns }}, {{ key }}
    ) as events
    group by {{ plan.key_columns }}
    {%- endset -%}
    {%- set name = own_query(query, plan) -%}
    {{- return({'sql': name ~ '.holds = 1', 'values': [['most with one ' ~ condition.in_one, name ~ '.n']]}) -}}
{%- endmacro %}

{% macro total_sql(condition, plan) -%}
    {%- set event = checked_event(condition.event) -%}
    {%- set window = window_of(condition) -%}
    {%- set type = column_type(condition.column, event.fact, plan) -%}
    {%- set aggregates = ['sum', 'average', 'min', 'max', 'distinct'] -%}
    {%- if condition.aggregate not in aggregates -%}
        {{- segment_error(
            "there is no aggregate '" ~ condition.aggregate ~ "'. " ~ did_you_mean(condition.aggregate, aggregates), condition.aggregate
        ) -}}
    {%- elif condition.aggregate in ['sum', 'average'] and type != 'number' -%}
        {{- segment_error("'" ~ condition.column ~ "' is a " ~ type ~ ", of which there is no " ~ condition.aggregate, condition.column) -}}
    {%- endif -%}
    {%- set counted = counted_in(condition, plan) -%}
    {%- if counted.by == 'feature' -%}
        {%- set value = 'profile_features.' ~ counted.column -%}
        {{- return({
            'sql': compare_total(value, 'number', condition), 'values': [[counted.column, value]],
        }) -}}
    {%- endif -%}
    {%- set such = such_event(condition, window, plan) -%}
    {%- set what = known_value(condition.column, such.fact, plan) -%}
    {%- set what = 'case when ' ~ such.sql ~ ' then ' ~ what ~ ' end' -%}
    {%- if condition.aggregate == 'average' -%}
        {%- set value = 'cast(' ~ measure(such.fact, 'sum(' ~ what ~ ')', plan) ~ ' as double precision) / nullif('
            ~ measure(such.fact, 'count(' ~ what ~ ')', plan) ~ ', 0)' -%}
    {%- elif condition.aggregate == 'distinct' -%}
        {%- set value = 'coalesce(' ~ measure(such.fact, 'count(distinct ' ~ what ~ ')', plan) ~ ', 0)' -%}
    {%- elif condition.aggregate == 'sum' -%}
        {%- set value = 'coalesce(' ~ measure(such.fact, 'sum(' ~ what ~ ')', plan) ~ ', 0)' -%}
    {%- else -%}
        {%- set value = measure(such.fact, condition.aggregate ~ '(' ~ what ~ ')', plan) -%}
    {%- endif -%}
    {{- return({
        'sql': compare_total(value, 'number' if condition.aggregate == 'distinct' else type, condition),
        'values': [[condition.aggregate ~ ' of ' ~ condition.column, value]],
    }) -}}
{%- endmacro %}

{% macro compare_total(value, type, condition) -%}
    {%- set tests = ['=', '!=', '<', '<=', '>', '>=', 'between'] -%}
    {%- if condition.test not in tests -%}
        {{- segment_error("'" ~ condition.test ~ "' is no test of a total. There are: " ~ tests | join(', '), condition.test) -}}
    {%- endif -%}
    {{- return(compare(value, type, condition.test, condition.value, none, condition.column or condition.event)) -}}
{%- endmacro %}

{#- The first or last such event of all lies in the window. -#}
{% macro end_time_sql(condition, plan) -%}
    {%- set such = such_event(condition, none, plan) -%}
    {%- set end = 'min' if condition.op == 'first_time' else 'max' -%}
    {%- set at = measure(such.fact, end ~ '(case when ' ~ such.sql ~ ' then events.happened_at end)', plan) -%}
    {%- set on = measure(such.fact, end ~ '(case when ' ~ such.sql ~ ' then events.happened_on end)', plan) -%}
    {%- set inside = in_window(window_of(condition), at, on, plan) -%}
    {{- return({
        'sql': at ~ ' is not null' ~ (' and ' ~ inside if inside else ''),
        'values': [['first' if end == 'min' else 'last', at]],
    }) -}}
{%- endmacro %}

{#- The instant of the first (last) event is that of the first (last) that satisfies the tests. -#}
{% macro end_was_sql(condition, plan) -%}
    {%- set all = such_event({'event': condition.event, 'where': [], 'human': condition.human}, none, plan) -%}
    {%- set such = such_event(condition, none, plan) -%}
    {%- set end = 'min' if condition.op == 'first_was' else 'max' -%}
    {%- set at = measure(all.fact, end ~ '(case when ' ~ all.sql ~ ' then events.happened_at end)', plan) -%}
    {%- set such_at = measure(such.fact, end ~ '(case when ' ~ such.sql ~ ' then events.happened_at end)', plan) -%}
    {{- return({
        'sql': at ~ ' = ' ~ such_at,
        'values': [['first' if end == 'min' else 'last', at], ['of such', such_at]],
    }) -}}
{%- endmacro %}

{#-
  Chains. The rows of all steps, one per person (and value of `same`) and instant, with a flag for each step; then window functions
  over instants, so that events of one instant have no order.
-#}
{% macro chain_sql(condition, plan) -%}
    {%- set window = window_of(condition) -%}
    {%- set keyed = plan.key_columns ~ (', events.same_value' if condition.same else '') -%}
    {%- set flags = [] -%}
    {%- for one in condition.steps -%}{%- do flags.append('step_' ~ loop.index) -%}{%- endfor -%}
    {%- set sides = [] -%}
    {%- for one in condition.steps -%}
        {%- set such = such_event(one, window if loop.first else none, plan, window) -%}
        {%- set position = loop.index -%}
        {%- set side -%}
select {{ plan.key_columns }}, events.happened_at
            {%- if condition.same %}, {{ known_value(condition.same, such.fact, plan) }} as same_value{% endif %}
            {%- for flag in flags %}, {{ 1 if loop.index == position else 0 }} as {{ flag }}{% endfor %}
            from {{ such.fact }}_events as events
            {{ plan.join_cutoffs }}
            where {{ such.sql }}
            {%- if condition.same %} and {{ known_value(condition.same, such.fact, plan) }} is not null{% endif %}
        {%- endset -%}
        {%- do sides.append(side) -%}
    {%- endfor -%}
    {%- set instants -%}
select {{ keyed }}, events.happened_at
        {%- for flag in flags %}, max(events.{{ flag }}) as {{ flag }}{% endfor %}
        from (
            {{ sides | join('\n            union all\n            ') }}
        ) as events
        group by {{ keyed }}, events.happened_at
    {%- endset -%}
    {%- set gap = seconds_of(condition.gap) if condition.gap else none -%}
    {%- if condition.op == 'then_not' -%}
        {%- set over = 'over (partition by ' ~ keyed ~ ' order by events.happened_at asc rows between current row and unbounded following)' -%}
        {%- set query -%}
select {{ plan.key_columns }}, max(events.happened_at) as happened_at
    from (
        select {{ plan.key_columns }}, events.happened_at, events.step_1,
            min(case when events.step_2 = 1 then events.happened_at end) {{ over }} as next_at
        from (
        {{ instants }}
        ) as events
    ) as events
    {{ plan.join_cutoffs }}
    where events.step_1 = 1
    {%- if gap is none %} and events.next_at is null
    {%- else %} and (events.next_at is null or events.next_at > {{ add_seconds('events.happened_at', gap) }})
        and {{ add_seconds('events.happened_at', gap) }} <= cutoffs.as_of
    {%- endif %}
    group by {{ plan.key_columns }}
        {%- endset -%}
    {%- else -%}
        {%- set before = 'over (partition by ' ~ keyed ~ ' order by events.happened_at asc rows between unbounded preceding and 1 preceding)' -%}
        {%- set layers = ['select events.*, events.step_1 as reached from (\n        ' ~ instants ~ '\n        ) as events'] -%}
        {%- for flag in flags[1:] -%}
            {%- set layer -%}
select events.*, case when events.{{ flag }} = 1 and events.previous_at is not null
            {%- if gap is not none %} and events.happened_at <= {{ add_seconds('events.previous_at', gap) }}{% endif %} then 1 else 0 end as reached
        from (
            select {{ keyed }}, events.happened_at{% for each in flags %}, events.{{ each }}{% endfor %},
                max(case when events.reached = 1 then events.happened_at end) {{ before }} as previous_at
            from (
            {{ layers[-1] }}
            ) as events
        ) as events
            {%- endset -%}
            {%- do layers.append(layer) -%}
        {%- endfor -%}
        {%- set query -%}
select {{ plan.key_columns }}, max(events.happened_at) as happened_at
    from (
    {{ layers[-1] }}
    ) as events
    where events.reached = 1
    group by {{ plan.key_columns }}
        {%- endset -%}
    {%- endif -%}
    {%- set name = own_query(query, plan) -%}
    {{- return({
        'sql': name ~ '.happened_at is not null',
        'values': [['last time' if condition.op == 'sequence' else 'since', name ~ '.happened_at']],
    }) -}}
{%- endmacro %}

{#- number of different periods, counted back from as_of_on, in which something happened -#}
{% macro regularly_sql(condition, plan) -%}
    {%- do checked_event(condition.event) -%}
    {%- set days = days_of(condition.period) -%}
    {%- if condition.of is not integer or condition.at_least is not integer or not 1 <= condition.at_least <= condition.of -%}
        {{- segment_error('regularly: at_least is between 1 and `of`', condition.event) -}}
    {%- endif -%}
    {%- set window = {'kind': 'days', 'far': days * condition.of, 'near': 0} -%}
    {%- set period = 'floor(' ~ days_between('events.happened_on', 'cutoffs.as_of_on') ~ ' / ' ~ days ~ '.0)' -%}
    {%- set counted = counted_in(condition, plan) -%}
    {%- if counted.by == 'daily' -%}
        {%- do read_back('daily', days_back(window), plan) -%}
        {%- do reading('daily', plan).columns.append(counted.measure) -%}
        {%- set when = 'events.' ~ counted.measure ~ ' > 0 and ' ~ in_window(window, none, 'events.happened_on', plan) -%}
        {%- set source = 'daily' -%}
    {%- else -%}
        {%- set such = such_event(condition, window, plan) -%}
        {%- set when, source = such.sql, such.fact -%}
    {%- endif -%}
    {%- set n = 'coalesce(' ~ measure(source, 'count(distinct case when ' ~ when ~ ' then ' ~ period ~ ' end)', plan) ~ ', 0)' -%}
    {{- return({'sql': n ~ ' >= ' ~ condition.at_least, 'values': [['periods', n]]}) -}}
{%- endmacro %}

{% macro trend_sql(condition, plan) -%}
    {%- set event = checked_event(condition.event) -%}
    {%- set days = days_of(condition.period) -%}
    {%- set now = {'kind': 'days', 'far': days, 'near': 0} -%}
    {%- set before = {'kind': 'days', 'far': 2 * days, 'near': days} -%}
    {%- if condition.aggregate == 'count' -%}
        {%- set last, previous = number_of(condition, now, plan), number_of(condition, before, plan) -%}
    {%- elif condition.aggregate == 'sum' -%}
        {%- if column_type(condition.column, event.fact, plan) != 'number' -%}
            {{- segment_error("'" ~ condition.column ~ "' is no number", condition.column) -}}
        {%- endif -%}
        {%- set sums = [] -%}
        {%- for window in [now, before] -%}
            {%- set such = such_event(condition, window, plan) -%}
            {%- set what = event_column(condition.column, such.fact, plan) -%}
            {%- do sums.append('coalesce(' ~ measure(such.fact, 'sum(case when ' ~ such.sql ~ ' then ' ~ what ~ ' end)', plan) ~ ', 0)') -%}
        {%- endfor -%}
        {%- set last, previous = sums[0], sums[1] -%}
    {%- else -%}
        {{- segment_error("a trend is of count or sum, not of '" ~ condition.aggregate ~ "'", condition.aggregate) -}}
    {%- endif -%}
    {{- return({
        'sql': compare_total(ratio(last, previous), 'number', condition),
        'values': [['last period', last], ['period before', previous]],
    }) -}}
{%- endmacro %}

{#- --- memberships and stages, as recorded --------------------------------------------------------------------------------------- -#}

{% macro history_sql(condition, plan) -%}
    {%- do reading('history', plan) -%}
    {%- if graph.nodes -%}{%- do checked_name(condition.name, segment_names_of_graph() + plan.names, 'segment') -%}{%- endif -%}
    {%- if condition.op in ['entered', 'left'] and not condition.within -%}
        {{- segment_error(condition.op ~ " takes a window: within='7 days'", condition.op) -}}
    {%- endif -%}
    {%- set own = 'events.segment_name = ' ~ quoted(condition.name) -%}
    {%- set is_open = '(events.left_at is null or events.left_at >= cutoffs.as_of)' -%}
    {%- if condition.op == 'was_member' -%}
        {%- set when = own ~ ' and ' ~ is_open -%}
    {%- elif condition.op == 'was_in' -%}
        {%- set midnight = local_midnight("cast('" ~ checked_day(condition.on) ~ "' as date)") -%}
        {%- set when = own ~ ' and events.entered_at <= ' ~ midnight ~ ' and (events.left_at is null or events.left_at > ' ~ midnight ~ ')' -%}
    {%- elif condition.op == 'has_been_in' -%}
        {%- set span = span_of(condition.at_least) -%}
        {%- set when = own ~ ' and ' ~ is_open ~ ' and ' ~ (
            'events.entered_at <= ' ~ seconds_ago(span.n, plan) if span.unit == 'exact'
            else local_date('events.entered_at') ~ ' <= ' ~ days_ago(span.n, plan)
        ) -%}
    {%- else -%}
        {%- set at = 'events.' ~ condition.op ~ '_at' -%}
        {%- set when = own ~ ' and ' ~ at ~ ' < cutoffs.as_of and ' ~ in_window(window_of(condition), at, local_date(at), plan) -%}
    {%- endif -%}
    {%- set n = measure('history', 'count(case when ' ~ when ~ ' then 1 end)', plan) -%}
    {%- set since = measure('history', 'max(case when ' ~ own ~ ' then events.entered_at end)', plan) -%}
    {{- return({'sql': n ~ ' > 0', 'values': [['entered last', since]]}) -}}
{%- endmacro %}

{% macro stage_history_sql(condition, plan) -%}
    {%- do checked_name(condition.vocabulary, stages_of_people(), 'vocabulary') -%}
    {%- do checked_name(condition.stage, stages_of_people()[condition.vocabulary], 'stage of ' ~ condition.vocabulary) -%}
    {%- set own = 'events.vocabulary = ' ~ quoted(condition.vocabulary) -%}
    {%- set newest = measure('transitions', 'max(case when ' ~ own ~ ' then events.transitioned_at end)', plan) -%}
    {%- set since = measure(
        'transitions',
        'max(case when ' ~ own ~ ' and events.to_stage = ' ~ quoted(condition.stage) ~ ' then events.transitioned_at end)', plan
    ) -%}
    {%- set span = span_of(condition.at_least) -%}
    {{- return({
        'sql': newest ~ ' = ' ~ since ~ ' and ' ~ (
            since ~ ' <= ' ~ seconds_ago(span.n, plan) if span.unit == 'exact'
            else local_date(since) ~ ' <= ' ~ days_ago(span.n, plan)
        ),
        'values': [['last transition', newest], ['to ' ~ condition.stage, since]],
    }) -}}
{%- endmacro %}
