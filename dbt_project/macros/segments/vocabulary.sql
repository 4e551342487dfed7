{#-
  The vocabulary of segments. What each condition means, to the second, is docs/segments.md. A macro returns its condition as a
  mapping; what becomes of it in SQL is in compile.sql, what may be named in catalogue.sql.
-#}

{#- A test of a column: of the person among the conditions, of the event in `where`. -#}
{% macro prop(name, test, value=none) -%}
    {{- return({'op': 'prop', 'name': name, 'test': test, 'value': value}) -}}
{%- endmacro %}

{#- A stated interest in any, all or none of these topics. -#}
{% macro interested_in(topics, match='any') -%}
    {{- return({'op': 'interested_in', 'topics': [topics] if topics is string else topics, 'match': match}) -}}
{%- endmacro %}

{#- The yearly return of the day of an instant falls on one of the next days, in her own time zone. -#}
{% macro anniversary(column, within_next='7 days') -%}
    {{- return({'op': 'anniversary', 'column': column, 'within_next': within_next}) -}}
{%- endmacro %}

{#- A share of all people by a salted hash. -#}
{% macro random_share(salt, percent, start=0) -%}
    {{- return({'op': 'random_share', 'salt': salt, 'percent': percent, 'start': start}) -}}
{%- endmacro %}

{#- May be written to for that purpose (seed consent_purposes), by dim_consent. -#}
{% macro can_receive(purpose, channel='email') -%}
    {{- return({'op': 'can_receive', 'channel': channel, 'purpose': purpose}) -}}
{%- endmacro %}

{#- So many events in the window. -#}
{% macro did(event, within=none, between=none, since=none, until=none, at_least=1, at_most=none, where=[], in_one=none, human=true) -%}
    {{- return({
        'op': 'did', 'event': event, 'within': within, 'between': between, 'since': since, 'until': until,
        'at_least': at_least, 'at_most': at_most, 'where': where, 'in_one': in_one, 'human': human,
    }) -}}
{%- endmacro %}

{#- No event in the window. -#}
{% macro did_not(event, within=none, between=none, since=none, until=none, where=[], human=true) -%}
    {{- return({
        'op': 'did', 'event': event, 'within': within, 'between': between, 'since': since, 'until': until,
        'at_least': 0, 'at_most': 0, 'where': where, 'in_one': none, 'human': human,
    }) -}}
{%- endmacro %}

{#- sum, average, min, max or distinct of a column over the events in the window satisfies a test. -#}
{% macro total(event, aggregate, column, test, value, within=none, between=none, since=none, until=none, where=[], human=true) -%}
    {{- return({
        'op': 'total', 'event': event, 'aggregate': aggregate, 'column': column, 'test': test, 'value': value,
        'within': within, 'between': between, 'since': since, 'until': until, 'where': where, 'human': human,
    }) -}}
{%- endmacro %}

{#- The first such event of all lies in the window. -#}
{% macro first_time(event, within=none, between=none, since=none, until=none, where=[], human=true) -%}
    {{- return({
        'op': 'first_time', 'event': event, 'within': within, 'between': between, 'since': since, 'until': until,
        'where': where, 'human': human,
    }) -}}
{%- endmacro %}

{#- The last such event of all lies in the window. -#}
{% macro last_time(event, within=none, between=none, since=none, until=none, where=[], human=true) -%}
    {{- return({
        'op': 'last_time', 'event': event, 'within': within, 'between': between, 'since': since, 'until': until,
        'where': where, 'human': human,
    }) -}}
{%- endmacro %}

{#- The first event of that name satisfies `where`. -#}
{% macro first_was(event, where, human=true) -%}
    {{- return({'op': 'first_was', 'event': event, 'where': where, 'human': human}) -}}
{%- endmacro %}

{#- The last event of that name satisfies `where`. -#}
{% macro last_was(event, where, human=true) -%}
    {{- return({'op': 'last_was', 'event': event, 'where': where, 'human': human}) -}}
{%- endmacro %}

{#- One event of a chain; `human` as the chain says, unless said here. -#}
{% macro step(event, where=[], human=none) -%}
    {{- return({'event': event, 'where': where, 'human': human}) -}}
{%- endmacro %}

{#- A chain of events, each later than the one before by at most `within`. -#}
{% macro sequence(steps, within=none, started_within=none, started_between=none, same=none, human=true) -%}
    {%- set named = [] -%}
    {%- for one in steps -%}
        {%- set one = step(one) if one is string else one -%}
        {%- do named.append(step(one.event, one.where, human if one.human is none else one.human)) -%}
    {%- endfor -%}
    {{- return({
        'op': 'sequence', 'steps': named, 'gap': within, 'within': started_within, 'between': started_between, 'same': same,
    }) -}}
{%- endmacro %}

{#- One event and then another. -#}
{% macro then(
    first, second, within=none, started_within=none, started_between=none, where_first=[], where_second=[], same=none, human=true
) -%}
    {{- return(sequence(
        [step(first, where_first), step(second, where_second)], within, started_within, started_between, same, human
    )) -}}
{%- endmacro %}

{#- One event and then, for the time of `within` (without it: until now), not the other. -#}
{% macro then_not(
    first, second, within=none, started_within=none, started_between=none, where_first=[], where_second=[], same=none, human=true
) -%}
    {{- return({
        'op': 'then_not', 'steps': [step(first, where_first, human), step(second, where_second, human)], 'gap': within,
        'within': started_within, 'between': started_between, 'same': same,
    }) -}}
{%- endmacro %}

{#- In at least `at_least` of the last `of` periods. -#}
{% macro regularly(event, at_least, of, period='7 days', where=[], human=true) -%}
    {{- return({
        'op': 'regularly', 'event': event, 'at_least': at_least, 'of': of, 'period': period, 'where': where, 'human': human,
    }) -}}
{%- endmacro %}

{#- Did it in the `active` days before the last `silent` days, and not in those. -#}
{% macro stopped(event, active='90 days', silent='30 days', where=[], human=true) -%}
    {%- set since = days_of(active) + days_of(silent) -%}
    {{- return(all_of([
        did(event, between=(since ~ ' days', silent), where=where, human=human),
        did_not(event, within=silent, where=where, human=human),
    ])) -}}
{%- endmacro %}

{#- Did it in the last `recent` days, not in the `silent` days before them, and before that. -#}
{% macro restarted(event, recent='7 days', silent='60 days', where=[], human=true) -%}
    {%- set before = (days_of(recent) + days_of(silent)) ~ ' days' -%}
    {{- return(all_of([
        did(event, within=recent, where=where, human=human),
        did_not(event, between=(before, recent), where=where, human=human),
        did(event, between=(none, before), where=where, human=human),
    ])) -}}
{%- endmacro %}

{#- The last period in proportion to the one before. -#}
{% macro trend(event, test, value, period='30 days', aggregate='count', column=none, where=[], human=true) -%}
    {{- return({
        'op': 'trend', 'event': event, 'test': test, 'value': value, 'period': period, 'aggregate': aggregate,
        'column': column, 'where': where, 'human': human,
    }) -}}
{%- endmacro %}

{#- Fewer than percent/100 of those whose property is known, and who satisfy `among`, have more (less). -#}
{% macro top_percent(property, percent, among=[]) -%}
    {{- return({'op': 'percent', 'property': property, 'percent': percent, 'among': among, 'from': 'top'}) -}}
{%- endmacro %}
{% macro bottom_percent(property, percent, among=[]) -%}
    {{- return({'op': 'percent', 'property': property, 'percent': percent, 'among': among, 'from': 'bottom'}) -}}
{%- endmacro %}

{#- The first n of those whose property is known and who satisfy `among`. -#}
{% macro top_n(property, n, among=[]) -%}
    {{- return({'op': 'number', 'property': property, 'n': n, 'among': among, 'from': 'top'}) -}}
{%- endmacro %}
{% macro bottom_n(property, n, among=[]) -%}
    {{- return({'op': 'number', 'property': property, 'n': n, 'among': among, 'from': 'bottom'}) -}}
{%- endmacro %}

{#- Compositions. -#}
{% macro all_of(conditions) -%}{{- return({'op': 'all_of', 'conditions': conditions}) -}}{%- endmacro %}
{% macro any_of(conditions) -%}{{- return({'op': 'any_of', 'conditions': conditions}) -}}{%- endmacro %}
{% macro none_of(conditions) -%}{{- return({'op': 'none_of', 'conditions': conditions}) -}}{%- endmacro %}
{% macro n_of(n, conditions) -%}{{- return({'op': 'n_of', 'n': n, 'conditions': conditions}) -}}{%- endmacro %}

{#- A member of that segment now. -#}
{% macro in_segment(name) -%}{{- return({'op': 'in_segment', 'name': name}) -}}{%- endmacro %}

{#- Recorded as having entered (left) in the window. -#}
{% macro entered(name, within) -%}{{- return({'op': 'entered', 'name': name, 'within': within}) -}}{%- endmacro %}
{% macro left(name, within) -%}{{- return({'op': 'left', 'name': name, 'within': within}) -}}{%- endmacro %}

{#- Recorded as in without a break for at least so long. -#}
{% macro has_been_in(name, at_least) -%}{{- return({'op': 'has_been_in', 'name': name, 'at_least': at_least}) -}}{%- endmacro %}

{#- Was in at the beginning of that local day. -#}
{% macro was_in(name, on) -%}{{- return({'op': 'was_in', 'name': name, 'on': on}) -}}{%- endmacro %}

{#- In that stage, by the recorded transitions, for at least so long. -#}
{% macro has_been_in_stage(vocabulary, stage, at_least) -%}
    {{- return({'op': 'has_been_in_stage', 'vocabulary': vocabulary, 'stage': stage, 'at_least': at_least}) -}}
{%- endmacro %}

{#- In where `enter` holds; out only where `leave` does. -#}
{% macro hysteresis(enter, leave) -%}{{- return({'op': 'hysteresis', 'enter': enter, 'leave': leave}) -}}{%- endmacro %}
