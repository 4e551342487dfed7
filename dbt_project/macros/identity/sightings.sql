{#-
    select of (identifier_type, identifier_value, source, seen_at): the identifiers that a relation carries.
    `columns` is a list of (identifier type, column, instant column).
-#}
{%- macro sightings(relation, source, columns) -%}
    {%- for identifier_type, column, seen_at in columns %}
    select
        '{{ identifier_type }}' as identifier_type,
        {{ relation }}.{{ column }} as identifier_value,
        '{{ source }}' as source,
        {{ relation }}.{{ seen_at }} as seen_at
    from {{ relation }}
    where {{ relation }}.{{ column }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro -%}

{#-
    select of (left_type, left_value, right_type, right_value, strength, source, linked_at): identifiers seen together.
    `pairs` is a list of (left type, right type, instant column, strength); a type is also the name of its column.
-#}
{%- macro identity_links(relation, source, pairs) -%}
    {%- for left_type, right_type, linked_at, strength in pairs %}
    select
        '{{ left_type }}' as left_type,
        {{ relation }}.{{ left_type }} as left_value,
        '{{ right_type }}' as right_type,
        {{ relation }}.{{ right_type }} as right_value,
        '{{ strength }}' as strength,
        '{{ source }}' as source,
        {{ relation }}.{{ linked_at }} as linked_at
    from {{ relation }}
    where {{ relation }}.{{ left_type }} is not null and {{ relation }}.{{ right_type }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro -%}

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
