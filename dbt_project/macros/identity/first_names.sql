{#- text or null: a given name one can greet with. Placeholders are data: seeds/placeholder_names.csv joined as `placeholder`. -#}
{%- macro usable_first_name(name, email, is_placeholder) -%}
    case
        when length({{ name }}) < 2 or (length({{ name }}) = 2 and right({{ name }}, 1) = '.') then null
        when {{ name }} like '%@%' then null
        when {{ is_placeholder }} then null
        -- words that a seed cannot hold: its reader takes them for no value
        when upper({{ name }}) in ('N/A', 'NONE', 'NULL', 'NAN') then null
        -- the part before the @, typed into the wrong field; "anna" of anna@… stays a name
        when lower({{ name }}) = split_part({{ email }}, '@', 1) and {{ regex_matches(name, '[0-9._+-]') }} then null
        else {{ name }}
    end
{%- endmacro -%}
