{#- text: md5 hex of the parts joined by '|'; a null part differs from an empty one. Same on every engine (dbt.hash). -#}
{%- macro hash_key(parts) -%}
    {%- set pieces = [] -%}
    {%- for part in parts -%}{%- do pieces.append("coalesce(cast(" ~ part ~ " as text), '<null>')") -%}{%- endfor -%}
    {{ dbt.hash(pieces | join(" || '|' || ")) }}
{%- endmacro -%}

{#- text: md5 hex of type:value, the name of an identity node. -#}
{%- macro node_hash(identifier_type, identifier_value) -%}
    {{ dbt.hash(identifier_type ~ " || ':' || " ~ identifier_value) }}
{%- endmacro -%}

{#-
    bigint, 0 to 9,999: where a text falls in a draw. Each number is as likely as any other; another salt is another draw, which tells
    nothing of the first.
-#}
{%- macro hash_bucket(salt, column) -%}
    mod({{ hex_number('substr(' ~ dbt.hash(quoted(salt ~ '|') ~ ' || ' ~ column) ~ ', 1, 8)') }}, 10000)
{%- endmacro -%}

{#- boolean: the text contains a match of a POSIX-like pattern (classes, anchors, + * ? only: what RE2 and POSIX share). -#}
{%- macro regex_matches(column, pattern) -%}{{ return(adapter.dispatch('regex_matches', 'mailwright')(column, pattern)) }}{%- endmacro -%}
{%- macro default__regex_matches(column, pattern) -%}regexp_matches({{ column }}, '{{ pattern }}'){%- endmacro -%}
{%- macro postgres__regex_matches(column, pattern) -%}({{ column }} ~ '{{ pattern }}'){%- endmacro -%}

{#- text: small letters, of every script. What engines disagree on comes out in one way: the dot of İ, the sigma at a word's end. -#}
{%- macro fold_case(column) -%}
    replace(replace({{ adapter.dispatch('fold_case', 'mailwright')(column) }}, 'i' || chr(775), 'i'), 'ς', 'σ')
{%- endmacro -%}
{%- macro default__fold_case(column) -%}lower({{ column }}){%- endmacro -%}
{#- PostgreSQL: a database of locale C knows no capitals beyond ASCII; ICU does, whatever the database's own locale. -#}
{%- macro postgres__fold_case(column) -%}lower({{ column }} collate "und-x-icu"){%- endmacro -%}

{#- text: accents composed with their letters (Unicode's NFC), so that the two ways of writing é are one. -#}
{%- macro composed(column) -%}{{ return(adapter.dispatch('composed', 'mailwright')(column)) }}{%- endmacro -%}
{%- macro default__composed(column) -%}nfc_normalize({{ column }}){%- endmacro -%}
{%- macro postgres__composed(column) -%}normalize({{ column }}, nfc){%- endmacro -%}

{#- rows of text: a delimited list, one row per item, in the select list. DuckDB and PostgreSQL return varchar/text. -#}
{%- macro split_to_rows(column, delimiter=',') -%}{{ return(adapter.dispatch('split_to_rows', 'mailwright')(column, delimiter)) }}{%- endmacro -%}
{%- macro default__split_to_rows(column, delimiter) -%}unnest(string_to_array({{ column }}, '{{ delimiter }}')){%- endmacro -%}

{#- text: values of a group joined in a stated order. -#}
{%- macro string_agg(expression, delimiter, order_by) -%}{{ return(adapter.dispatch('string_agg', 'mailwright')(expression, delimiter, order_by)) }}{%- endmacro -%}
{%- macro default__string_agg(expression, delimiter, order_by) -%}string_agg({{ expression }}, '{{ delimiter }}' order by {{ order_by }}){%- endmacro -%}

{#- text: outer whitespace (blanks of any width, tabs, line ends) removed, and inside a blank for each tab, line end and no-break space; null if nothing is left. -#}
{%- macro clean_text(column) -%}
    nullif({{ trim_blanks("replace(replace(replace(replace(" ~ column ~ ", chr(160), ' '), chr(9), ' '), chr(10), ' '), chr(13), ' ')") }}, '')
{%- endmacro -%}

{#- text: without the blanks of any width (Unicode's category Zs) at either end. -#}
{%- macro trim_blanks(expression) -%}{{ return(adapter.dispatch('trim_blanks', 'mailwright')(expression)) }}{%- endmacro -%}
{#- DuckDB: its trim knows them all. -#}
{%- macro default__trim_blanks(expression) -%}trim({{ expression }}){%- endmacro -%}
{#- PostgreSQL: its trim knows U+0020 alone. -#}
{%- macro postgres__trim_blanks(expression) -%}
    btrim({{ expression }}, E' \u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u202F\u205F\u3000')
{%- endmacro -%}
