{#-
    text or null: a given name one can greet with. It consists of words of letters and their marks, of any script, joined by blanks,
    hyphens or apostrophes; a full stop ends a word and joins none (jo.doe is the part before an @, example.com a page); not all of
    its words are placeholders; and it is more than initials. `name` has no outer blanks.
-#}
{%- macro usable_first_name(name) -%}
    {%- set blank = regex_signs(['0020', '3000']) -%}
    {#- - ‐ ‑ – and the middle dots of Catalan, of Chinese and of Japanese -#}
    {%- set hyphen = regex_signs(['002D', '2010', '2011', '2013', '00B7', '30FB']) -%}
    {#- ' ’ ‘ ` ´, the Armenian and the Hebrew one; a joiner, which Persian and Indian scripts have inside a word, is like one -#}
    {%- set apostrophe = regex_signs(['0027', '2018', '2019', '0060', '00B4', '055A', '05F3', '200C', '200D']) -%}
    {%- set other = blank ~ hyphen ~ apostrophe ~ '.' -%}
    {%- set letters = '[^' ~ other ~ ']+' -%}
    {%- set word = '[' ~ apostrophe ~ ']?' ~ letters ~ '([' ~ apostrophe ~ ']' ~ letters ~ ')*[' ~ apostrophe ~ ']?[.]?' -%}
    {%- set between = '([' ~ blank ~ ']+|[' ~ blank ~ ']?[' ~ hyphen ~ '][' ~ blank ~ ']?)' -%}
    {%- set accents = regex_signs(accent_signs()) -%}
    {%- set cased = '[' ~ regex_signs(cased_signs()) ~ '][' ~ accents ~ ']*' -%}
    case
        -- digits, @, the signs of a URL or of markup, control characters, emoji
        when {{ regex_matches(name, '[^' ~ other ~ regex_signs(letter_signs()) ~ ']') }} then null
        when not {{ regex_matches(name, '^' ~ word ~ '(' ~ between ~ word ~ ')*$') }} then null
        when {{ regex_matches(name, '^' ~ placeholder_word() ~ '([' ~ other ~ ']+' ~ placeholder_word() ~ ')*[.]?$') }} then null
        -- two letters on end, or one of a script without case: anything else is initials
        when {{ regex_matches(name, cased ~ cased) }} then {{ name }}
        when {{ regex_matches(name, '[^' ~ other ~ accents ~ regex_signs(cased_signs()) ~ ']') }} then {{ name }}
    end
{%- endmacro -%}

{#- Pattern of one of var `placeholder_names`, in any case: each letter by its two forms, since lower() knows ASCII alone on some servers. -#}
{%- macro placeholder_word() -%}
    {%- set declared = var('placeholder_names') -%}
    {%- if declared is string or declared is mapping or declared is not sequence or not declared -%}
        {{ placeholder_error("a list of words is expected") }}
    {%- endif -%}
    {%- set patterns = [] -%}
    {%- for word in declared -%}
        {%- if word is not string -%}
            {{ placeholder_error("'" ~ word ~ "' is no text; put it in quotation marks") }}
        {%- elif not word.replace(' ', '').isalpha() -%}
            {{ placeholder_error("'" ~ word ~ "' holds more than letters and blanks, and such is no name anyway; remove it") }}
        {%- endif -%}
        {%- set letters = [] -%}
        {%- for letter in word -%}
            {%- do letters.append(letter if letter == ' ' else '[' ~ letter.lower() ~ letter.upper() ~ ']') -%}
        {%- endfor -%}
        {%- do patterns.append(letters | join) -%}
    {%- endfor -%}
    ({{ patterns | join('|') }})
{%- endmacro -%}

{%- macro placeholder_error(message) -%}
    {{ exceptions.raise_compiler_error("dbt_project.yml, vars, placeholder_names: " ~ message ~ ".") }}
{%- endmacro -%}
