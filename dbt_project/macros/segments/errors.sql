{#- What is said of a mistake in a segment file: which file and line, what is wrong, and what was probably meant. -#}

{#-
  Stop with a message; `needle` is the text of the file that it is about. While dbt parses nothing stops: one wrong file would keep
  all others from being read.
-#}
{% macro segment_error(message, needle=none) -%}
    {%- set number = [] -%}
    {%- for wanted in ["'" ~ needle ~ "'", '"' ~ needle ~ '"', needle | string] if needle -%}
        {%- for line in (model.raw_code or '').split('\n') -%}
            {%- if wanted in line -%}{%- do number.append(loop.index) -%}{%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not execute -%}{{- return('') -}}{%- endif -%}
    {{- exceptions.raise_compiler_error(
        (model.original_file_path or 'segment') ~ (':' ~ number[0] if number else '') ~ ': ' ~ message ~ ('' if message.endswith('?') else '.')
    ) -}}
{%- endmacro %}

{#- The type of a column that is there; else stop, with the nearest name. -#}
{% macro checked_name(name, names, what) -%}
    {%- if name not in names -%}
        {{- segment_error("there is no " ~ what ~ " '" ~ name ~ "'. " ~ did_you_mean(name, names), name) -}}
    {%- endif -%}
    {{- return(names[name] if names is mapping else name) -}}
{%- endmacro %}

{#- The name that shares most pairs of letters with the one given, or all names where none is near. -#}
{% macro did_you_mean(name, names) -%}
    {%- set own = letter_pairs(name | string) -%}
    {%- set best = {'score': 0, 'name': none} -%}
    {%- for other in names -%}
        {%- set theirs = letter_pairs(other) -%}
        {%- set common = [] -%}
        {%- for pair in own if pair in theirs -%}{%- do common.append(pair) -%}{%- endfor -%}
        {%- set score = 2 * common | length / (own | length + theirs | length) -%}
        {%- if score > best.score -%}{%- do best.update({'score': score, 'name': other}) -%}{%- endif -%}
    {%- endfor -%}
    {{- return(
        "Did you mean '" ~ best.name ~ "'?" if best.score > 0.35 else 'There are: ' ~ names | list | join(', ')
    ) -}}
{%- endmacro %}

{% macro letter_pairs(text) -%}
    {%- set letters = ' ' ~ text | lower ~ ' ' -%}
    {%- set pairs = [] -%}
    {%- for index in range(letters | length - 1) -%}{%- do pairs.append(letters[index:index + 2]) -%}{%- endfor -%}
    {{- return(pairs | unique | list) -}}
{%- endmacro %}
