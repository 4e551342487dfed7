{#- text or null: a name in the form by which equals are equal: case folded, blanks inside collapsed to one. -#}
{%- macro folded_name(name) -%}
    {#- every blank becomes <>, so that a run of them is <><>: what is between two of them goes -#}
    replace(replace(replace(trim({{ fold_case(name) }}), ' ', '<>'), '><', ''), '<>', ' ')
{%- endmacro -%}

{#-
    boolean: a folded given or family name that can say, beside a telephone, who somebody is. Whoever is in doubt is nobody: a
    wrong name joins two people. Placeholders are data: seeds/placeholder_names.csv joined as `placeholder`.
-#}
{%- macro is_telling_name(name, email, is_placeholder) -%}
    case
        when {{ is_placeholder }} then false
        -- words that a seed cannot hold: its reader takes them for no value
        when {{ name }} in ('n/a', 'na', 'none', 'null', 'nan') then false
        -- initials, titles, logins, addresses, two people in one field: names have letters, blanks, hyphens and apostrophes
        when {{ regex_matches(name, '[0-9@.,;:/&()_*#!?+=<>%]') }} then false
        when length(replace(replace(replace({{ name }}, ' ', ''), '-', ''), '''', '')) < 2 then false
        -- one letter over and over
        when replace({{ name }}, left({{ name }}, 1), '') = '' then false
        -- the part before the @, filled in by a form or a browser
        when {{ name }} = split_part({{ email }}, '@', 1) then false
        else {{ name }} is not null
    end
{%- endmacro -%}
