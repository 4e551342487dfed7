{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    pre_hook="{{ forget_rolled_up_days() }}",
) }}
{%- set measures, instants, facts = declared_measures(), declared_instants(), daily_facts() %}
{%- set keys = ['identifier_type', 'identifier_value', 'activity_on'] %}

with
{%- for name, fact in facts.items() %}
{{ name }}_rows as (
    select * from {{ ref(fact.relation) }}
),
{% endfor %}
days as (
    {%- if rows_stay(daily_rules()) %}
    select * from {{ working_table('days') }}
    {%- else %}
    {{ daily_fingerprints() }}
    {%- endif %}
),
{% for name, fact in facts.items() %}
{{ name }}_days as (
    select
        {{ name }}_rows.identifier_type,
        {{ name }}_rows.identifier_value,
        {{ name }}_rows.{{ fact.on }} as activity_on,
        {%- for column, measure in measures.items() if measure.fact == name %}
        cast(
            {%- if measure.sum %}
            sum(case when {{ measure.where }} then {{ measure.sum }} else 0 end)
            {%- else %}
            count(case when {{ measure.where }} then 1 end)
            {%- endif %} as {{ daily_measure_type(column) }}
        ) as {{ column }},
        {%- endfor %}
        {%- for column, by_fact in instants.items() if name in by_fact %}
        max(case when {{ by_fact[name] }} then {{ name }}_rows.{{ fact.at }} end) as {{ column }},
        {%- endfor %}
        max({{ name }}_rows.known_at) as known_through
    from {{ name }}_rows
    where
        {{ name }}_rows.identifier_value is not null
        and {{ name }}_rows.{{ fact.on }} in (select days.activity_on from days)
        {%- if fact.where %}
        and ({{ fact.where }})
        {%- endif %}
    group by {{ name }}_rows.identifier_type, {{ name }}_rows.identifier_value, {{ name }}_rows.{{ fact.on }}
),
{% endfor %}
-- each has one row of a key at most: to join them costs less than to group them once more
joined as (
    select
        {%- for key in keys %}
        {{ of_all_days('coalesce', key, facts) }} as {{ key }},
        {%- endfor %}
        {%- for column, measure in measures.items() %}
        coalesce({{ measure.fact }}_days.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        {%- for column, by_fact in instants.items() %}
        {{ of_all_days('greatest', column, by_fact) }} as {{ column }},
        {%- endfor %}
        {{ of_all_days('greatest', 'known_through', facts) }} as known_through
    {%- for name in facts %}
    {%- if loop.first %}
    from {{ name }}_days
    {%- else %}
    full outer join {{ name }}_days
        on
            {%- set before = (facts | list)[:loop.index0] %}
            {%- for key in keys %}
            {{ 'and ' if not loop.first }}{{ of_all_days('coalesce', key, before) }} = {{ name }}_days.{{ key }}
            {%- endfor %}
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        joined.*,
        days.fingerprint as day_fingerprint,
        cast({{ made_by(daily_rules()) }} as bigint) as made_by
    from joined
    inner join days on joined.activity_on = days.activity_on
)

select * from final
