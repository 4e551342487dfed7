{#- text or null: a name in the form by which equals are equal: case folded, blanks inside collapsed to one. -#}
{%- macro folded_name(name) -%}
    {#- every blank becomes <>, so that a run of them is <><>: what is between two of them goes -#}
    replace(replace(replace(trim({{ fold_case(name) }}), ' ', '<>'), '><', ''), '<>', ' ')
{%- endmacro -%}

{#-
    boolean: a folded given or family name that can say, beside a telephone, who somebody is. Whoever is in doubt is nobody: a
    wrong name joins two people.
-#}
{%- macro is_telling_name(name, email) -%}
    case
        -- what one cannot greet with: placeholders, digits, addresses, two people in one field
        when {{ usable_first_name(name) }} is null then false
        -- an initial
        when {{ name }} like '%.%' then false
        when {{ regex_matches(name, '(^|[ -])(' ~ (var('doubtful_name_words').split() | join('|')) ~ ')([ -]|$)') }} then false
        when length(replace(replace(replace({{ name }}, ' ', ''), '-', ''), '''', '')) < 2 then false
        -- one letter over and over
        when replace({{ name }}, left({{ name }}, 1), '') = '' then false
        -- the part before the @, filled in by a form or a browser
        when {{ name }} = split_part({{ email }}, '@', 1) then false
        else true
    end
{%- endmacro -%}
