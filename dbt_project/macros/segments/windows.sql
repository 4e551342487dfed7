{#- Spans and windows of time: '48 hours', '30 days', between two of them, between two days. docs/segments.md says what they mean. -#}

{#- '48 hours' → {unit: exact, n: 172800 (seconds)}; '2 weeks' → {unit: days, n: 14}. -#}
{% macro span_of(text) -%}
    {%- set found = modules.re.fullmatch('([0-9]+) (minute|hour|day|week)s?', text | string) -%}
    {%- if not found -%}
        {{- segment_error(
            "'" ~ text ~ "' is no span of time. Write a whole number and a unit: '90 minutes', '48 hours', '30 days', '2 weeks'",
            text
        ) -}}
        {{- return({'unit': 'days', 'n': 1}) -}}
    {%- endif -%}
    {%- set n = found.group(1) | int -%}
    {%- set each = {'minute': 60, 'hour': 3600, 'day': 1, 'week': 7}[found.group(2)] -%}
    {{- return({'unit': 'exact' if found.group(2) in ['minute', 'hour'] else 'days', 'n': n * each}) -}}
{%- endmacro %}

{#- integer: of a span in whole days. -#}
{% macro days_of(text) -%}
    {%- set span = span_of(text) -%}
    {%- if span.unit != 'days' -%}
        {{- segment_error("'" ~ text ~ "' is not in whole days or weeks, and must be here", text) -}}
    {%- endif -%}
    {{- return(span.n) -}}
{%- endmacro %}

{#- integer: seconds of a span, a day being 24 hours. -#}
{% macro seconds_of(text) -%}
    {%- set span = span_of(text) -%}
    {{- return(span.n if span.unit == 'exact' else span.n * 86400) -}}
{%- endmacro %}

{% macro checked_day(text) -%}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', text | string) -%}
        {{- segment_error("'" ~ text ~ "' is no day. Write it as 2026-01-31", text) -}}
    {%- endif -%}
    {%- if execute -%}{%- do try_or_compiler_error(
        "'" ~ text ~ "' is no day of the calendar", modules.datetime.datetime.strptime, text, '%Y-%m-%d'
    ) -%}{%- endif -%}
    {{- return(text | string) -}}
{%- endmacro %}

{#-
  Window of a condition: {kind: all}; {kind: exact | days, far, near}, counted back from as_of (seconds) or as_of_on (days), far may be
  none; {kind: dates, since, until}.
-#}
{% macro window_of(condition) -%}
    {%- set within, between = condition.within, condition.between -%}
    {%- set dated = condition.since or condition.until -%}
    {%- if (within is not none and within is defined) + (between is not none and between is defined) + (dated is not none and dated is defined) > 1 -%}
        {{- segment_error(
            "A window is given by within, by between, or by since and until, and not by two of them", within or condition.since
        ) -}}
    {%- endif -%}
    {%- if within -%}
        {%- set span = span_of(within) -%}
        {{- return({'kind': span.unit, 'far': span.n, 'near': 0}) -}}
    {%- elif between -%}
        {%- if between is string or between | length != 2 -%}
            {{- segment_error("between takes two offsets, the farther one first: ('90 days', '30 days')", 'between') -}}
            {{- return({'kind': 'all'}) -}}
        {%- endif -%}
        {%- set near = span_of(between[1]) -%}
        {%- if between[0] is none -%}
            {{- return({'kind': near.unit, 'far': none, 'near': near.n}) -}}
        {%- endif -%}
        {%- set far = span_of(between[0]) -%}
        {%- if far.unit != near.unit -%}
            {{- segment_error(
                "between=('" ~ between[0] ~ "', '" ~ between[1] ~ "') mixes hours, which are exact, with whole days", between[0]
            ) -}}
        {%- elif far.n <= near.n -%}
            {{- segment_error(
                "between=('" ~ between[0] ~ "', '" ~ between[1] ~ "'): the farther offset comes first", between[0]
            ) -}}
        {%- endif -%}
        {{- return({'kind': far.unit, 'far': far.n, 'near': near.n}) -}}
    {%- elif dated -%}
        {{- return({
            'kind': 'dates',
            'since': checked_day(condition.since) if condition.since else none,
            'until': checked_day(condition.until) if condition.until else none,
        }) -}}
    {%- endif -%}
    {{- return({'kind': 'all'}) -}}
{%- endmacro %}

{#- boolean: an event at instant `at`, on local day `on`, lies in the window. Offsets are columns of `cutoffs`, one for each in use. -#}
{% macro in_window(window, at, on, plan) -%}
    {%- set parts = [] -%}
    {%- if window.kind == 'exact' -%}
        {%- if window.far is not none -%}{%- do parts.append(at ~ ' >= ' ~ seconds_ago(window.far, plan)) -%}{%- endif -%}
        {%- if window.near > 0 -%}{%- do parts.append(at ~ ' < ' ~ seconds_ago(window.near, plan)) -%}{%- endif -%}
    {%- elif window.kind == 'days' -%}
        {%- if window.far is not none -%}{%- do parts.append(on ~ ' > ' ~ days_ago(window.far, plan)) -%}{%- endif -%}
        {%- if window.near > 0 -%}{%- do parts.append(on ~ ' <= ' ~ days_ago(window.near, plan)) -%}{%- endif -%}
    {%- elif window.kind == 'dates' -%}
        {%- if window.since -%}{%- do parts.append(on ~ " >= cast('" ~ window.since ~ "' as date)") -%}{%- endif -%}
        {%- if window.until -%}{%- do parts.append(on ~ " <= cast('" ~ window.until ~ "' as date)") -%}{%- endif -%}
    {%- endif -%}
    {{- return(parts | join(' and ')) -}}
{%- endmacro %}

{% macro seconds_ago(n, plan) -%}
    {%- if n == 0 -%}{{- return('cutoffs.as_of') -}}{%- endif -%}
    {%- do plan.offsets.update({'seconds_' ~ n: add_seconds('instants.as_of', -1 * n)}) -%}
    {{- return('cutoffs.seconds_' ~ n) -}}
{%- endmacro %}

{% macro days_ago(n, plan) -%}
    {%- if n == 0 -%}{{- return('cutoffs.as_of_on') -}}{%- endif -%}
    {%- do plan.offsets.update({'days_' ~ n: add_days('instants.as_of_on', -1 * n)}) -%}
    {{- return('cutoffs.days_' ~ n) -}}
{%- endmacro %}

{#- integer: how many days back the rows of a window lie at most; none if there is no end, or not from as_of. -#}
{% macro days_back(window) -%}
    {%- if window.kind == 'days' -%}{{- return(window.far) -}}{%- endif -%}
    {#- a local day more for the hours before as_of on its day, one for what is left of a day, and one for a change to daylight saving -#}
    {%- if window.kind == 'exact' and window.far is not none -%}{{- return(window.far // 86400 + 3) -}}{%- endif -%}
    {{- return(none) -}}
{%- endmacro %}
