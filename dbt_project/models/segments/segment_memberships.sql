{{ config(materialized='table') }}

{#- All segments of the vocabulary out of one query; of a plain select only profile_id is read, once each. -#}
{%- for relation in models_of_the_vocabulary() + segment_models() -%}{%- do ref(relation) -%}{%- endfor -%}
{%- do source('segments', 'static_members') -%}
{%- set definitions, selects = [], [] %}
{%- for segment_model in segment_models() %}
{%- set definition = segment_definition(segment_model[4:]) if execute else none %}
{%- do selects.append(segment_model) if definition is none else definitions.append(definition) %}
{%- if execute and definition is none and earlier_in_lists(segment_model[4:]) %}
    {{- exceptions.raise_compiler_error(
        "vars.priority_lists: '" ~ segment_model[4:] ~ "' is a plain select, which cannot leave out who is in an earlier one. "
        ~ "Write it with segment(…), or put it first."
    ) }}
{%- endif %}
{%- endfor %}

with clock as (

    select * from {{ source('control', 'clock') }}

),

memberships as (
{%- if definitions %}

    select
        profile_id,
        segment_name
    from (
        {{ members_query(definitions) | indent(8) }}
    ) as members
{%- endif %}
{%- if not definitions and not selects %}

    select
        profile_id,
        cast(null as {{ dbt.type_string() }}) as segment_name
    from {{ ref('profile_features') }}
    where 1 = 0
{%- endif %}
{%- for segment_model in selects %}
    {%- if not loop.first or definitions %}

    union all
    {%- endif %}

    select distinct
        profile_id,
        '{{ segment_model[4:] }}' as segment_name
    from {{ ref(segment_model) }}
    where profile_id is not null
{%- endfor %}

),

final as (

    select
        memberships.profile_id,
        memberships.segment_name,
        clock.as_of
    from memberships
    cross join clock

)

select * from final
