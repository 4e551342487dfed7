{#- Typed tests of columns: `prop` on a person or an event, and the comparisons of totals. -#}

{#- Which tests there are for a type. -#}
{% macro tests_for(type) -%}
    {%- set compared = ['=', '!=', '<', '<=', '>', '>=', 'between'] -%}
    {{- return({
        'text': ['=', '!=', 'in', 'not in', 'is', 'is not', 'contains', 'starts with', 'ends with', 'matches'],
        'number': compared + ['in', 'not in'],
        'date': compared + ['before', 'after', 'on', 'within last', 'within next', 'older than'],
        'timestamp': compared + ['before', 'after', 'on', 'within last', 'within next', 'older than'],
        'boolean': ['is true', 'is false', '=', '!='],
    }[type] + ['is empty', 'is not empty']) -}}
{%- endmacro %}

{#-
  boolean: the test of a column of the person, or of a fact's events, whose windows are those of the condition.
-#}
{% macro test_sql(condition, of, plan) -%}
    {%- set name, test, value = condition.name, condition.test, condition.value -%}
    {%- set type = column_type(name, of, plan, value) -%}
    {%- set sql = column_sql(name, of) -%}
    {%- if type == 'text' -%}{%- set sql = "nullif(" ~ sql ~ ", '')" -%}{%- endif -%}
    {%- set compared = modules.re.fullmatch('(=|!=|<|<=|>|>=) column', test | string) -%}
    {%- if compared -%}
        {%- set other = column_type(value, of, plan) -%}
        {%- if other != type -%}
            {{- segment_error("'" ~ name ~ "' is a " ~ type ~ " and '" ~ value ~ "' a " ~ other, value) -}}
        {%- endif -%}
        {%- set other_sql = column_sql(value, of) -%}
        {%- if type == 'text' -%}{%- set other_sql = "nullif(" ~ other_sql ~ ", '')" -%}{%- endif -%}
        {{- return(sql ~ ' ' ~ compared.group(1) | replace('!=', '<>') ~ ' ' ~ other_sql) -}}
    {%- endif -%}
    {%- if test not in tests_for(type) -%}
        {{- segment_error(
            "'" ~ test ~ "' is no test of a " ~ type ~ " ('" ~ name ~ "'). " ~ did_you_mean(test, tests_for(type)), test
        ) -}}
    {%- elif of != 'person' and test in ['within last', 'within next', 'older than'] -%}
        {{- segment_error("'" ~ test ~ "' is no test of an event: give the condition a window", test) -}}
    {%- endif -%}
    {{- return(compare(sql, type, test, value, plan, name)) -}}
{%- endmacro %}

{#- boolean: an expression of a type satisfies a test. -#}
{% macro compare(sql, type, test, value, plan, name) -%}
    {%- if test in ['=', '!=', '<', '<=', '>', '>='] -%}
        {{- return(sql ~ ' ' ~ test | replace('!=', '<>') ~ ' ' ~ literal(value, type, name)) -}}
    {%- elif test == 'between' -%}
        {%- if value is string or value is not iterable or value | length != 2 -%}
            {{- segment_error("between takes two values, [low, high], for '" ~ name ~ "'", name) -}}
        {%- endif -%}
        {{- return(
            sql ~ ' >= ' ~ literal(value[0], type, name) ~ ' and ' ~ sql ~ ' <= ' ~ literal(value[1], type, name)
        ) -}}
    {%- elif test in ['in', 'not in'] -%}
        {%- if value is string or value is not iterable or not value -%}
            {{- segment_error("'" ~ test ~ "' takes a list of values, for '" ~ name ~ "'", name) -}}
        {%- endif -%}
        {%- set values = [] -%}
        {%- for one in value -%}{%- do values.append(literal(one, type, name)) -%}{%- endfor -%}
        {{- return(sql ~ ' ' ~ test ~ ' (' ~ values | join(', ') ~ ')') -}}
    {%- elif test == 'is empty' -%}{{- return(sql ~ ' is null') -}}
    {%- elif test == 'is not empty' -%}{{- return(sql ~ ' is not null') -}}
    {%- elif test == 'is true' -%}{{- return(sql ~ ' = true') -}}
    {%- elif test == 'is false' -%}{{- return(sql ~ ' = false') -}}
    {%- elif type == 'text' -%}
        {%- set text = literal(value, type, name) -%}
        {%- if test == 'matches' -%}
            {{- return('(' ~ sql ~ ' is not null and ' ~ regex_matches(sql, value | replace("'", "''")) ~ ')') -}}
        {%- elif test in ['is', 'is not'] -%}
            {{- return(
                fold_case(trim_blanks(sql)) ~ (' = ' if test == 'is' else ' <> ') ~ fold_case(trim_blanks(text))
            ) -}}
        {%- endif -%}
        {%- set whole, part = fold_case(sql), fold_case(text) -%}
        {{- return(
            'strpos(' ~ whole ~ ', ' ~ part ~ ') > 0' if test == 'contains'
            else 'left(' ~ whole ~ ', length(' ~ part ~ ')) = ' ~ part if test == 'starts with'
            else 'right(' ~ whole ~ ', length(' ~ part ~ ')) = ' ~ part
        ) -}}
    {%- endif -%}
    {%- set day = local_date(sql) if type == 'timestamp' else sql -%}
    {%- if test in ['before', 'after', 'on'] -%}
        {{- return(day ~ {'before': ' < ', 'after': ' > ', 'on': ' = '}[test] ~ literal(value, 'date', name)) -}}
    {%- endif -%}
    {%- set span = span_of(value) -%}
    {%- if span.unit == 'exact' and (type == 'date' or test == 'within next') -%}
        {{- segment_error("'" ~ test ~ "' counts whole days here ('" ~ name ~ "'): '" ~ value ~ "' is not in days or weeks", value) -}}
    {%- elif test == 'within next' -%}
        {{- return(day ~ ' > cutoffs.as_of_on and ' ~ day ~ ' <= ' ~ add_days('cutoffs.as_of_on', span.n)) -}}
    {%- elif test == 'older than' -%}
        {{- return(
            sql ~ ' < ' ~ seconds_ago(span.n, plan) if span.unit == 'exact' else day ~ ' <= ' ~ days_ago(span.n, plan)
        ) -}}
    {%- elif span.unit == 'exact' -%}
        {{- return(sql ~ ' >= ' ~ seconds_ago(span.n, plan) ~ ' and ' ~ sql ~ ' < cutoffs.as_of') -}}
    {%- endif -%}
    {{- return(
        day ~ ' > ' ~ days_ago(span.n, plan) ~ ' and '
        ~ (sql ~ ' < cutoffs.as_of' if type == 'timestamp' else day ~ ' <= cutoffs.as_of_on')
    ) -}}
{%- endmacro %}

{#- The column of a person, in the row of all that is known of her, or of an event. -#}
{% macro column_sql(name, of) -%}
    {%- if of == 'person' -%}
        {{- return(person_relation_of(name) ~ '.' ~ name) -}}
    {%- endif -%}
    {{- return('events.' ~ name) -}}
{%- endmacro %}

{% macro quoted(text) -%}{{- return("'" ~ text | string | replace("'", "''") ~ "'") -}}{%- endmacro %}

{#- The value as SQL of that type. -#}
{% macro literal(value, type, name) -%}
    {%- if value is none -%}
        {{- segment_error("there is no value to compare '" ~ name ~ "' with; unknown is 'is empty'", name) -}}
    {%- elif type == 'text' -%}
        {%- if value is not string -%}
            {{- segment_error("'" ~ name ~ "' is a text, and " ~ value ~ " is none: write it in quotes", name) -}}
        {%- endif -%}
        {{- return(quoted(value)) -}}
    {%- elif type == 'number' -%}
        {%- if value is not number or value is boolean -%}
            {{- segment_error("'" ~ name ~ "' is a number, and '" ~ value ~ "' is none", name) -}}
        {%- endif -%}
        {{- return(value | string) -}}
    {%- elif type == 'boolean' -%}
        {%- if value is not boolean -%}
            {{- segment_error("'" ~ name ~ "' is true or false, and '" ~ value ~ "' is neither", name) -}}
        {%- endif -%}
        {{- return(value | string | lower) -}}
    {%- elif type == 'date' -%}
        {{- return("cast('" ~ checked_day(value) ~ "' as date)") -}}
    {%- endif -%}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?', value | string) -%}
        {{- segment_error("'" ~ name ~ "' is an instant, and '" ~ value ~ "' is none: write it as 2026-01-31 18:30:00 (UTC)", name) -}}
    {%- endif -%}
    {{- return("cast('" ~ value | replace('T', ' ') ~ "' as timestamp)") -}}
{%- endmacro %}
