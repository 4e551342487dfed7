{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    pre_hook="{{ forget_rolled_up_days() }}",
) }}
{%- set measures, instants, facts = declared_measures(), declared_instants(), daily_facts() %}

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
        {%- for column, measure in measures.items() %}
        cast(
            {%- if measure.fact == name %}
            sum(case when {{ measure.where }} then {{ measure.get('sum', 1) }} else 0 end)
            {%- else %}
            null
            {%- endif %} as {{ daily_measure_type(column) }}
        ) as {{ column }},
        {%- endfor %}
        {%- for column, by_fact in instants.items() %}
        {% if name in by_fact -%}
        max(case when {{ by_fact[name] }} then {{ name }}_rows.{{ fact.at }} end)
        {%- else -%}
        cast(null as timestamp)
        {%- endif %} as {{ column }},
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
all_days as (
    {%- for name in facts %}
    select * from {{ name }}_days
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

summed as (
    select
        all_days.identifier_type,
        all_days.identifier_value,
        all_days.activity_on,
        {%- for measure in measures %}
        -- a measure is of one fact, which has one row here
        cast(coalesce(max(all_days.{{ measure }}), 0) as {{ daily_measure_type(measure) }}) as {{ measure }},
        {%- endfor %}
        {%- for instant in instants %}
        max(all_days.{{ instant }}) as {{ instant }},
        {%- endfor %}
        max(all_days.known_through) as known_through
    from all_days
    group by all_days.identifier_type, all_days.identifier_value, all_days.activity_on
),

final as (
    select
        summed.*,
        days.fingerprint as day_fingerprint,
        cast({{ made_by(daily_rules()) }} as bigint) as made_by
    from summed
    inner join days on summed.activity_on = days.activity_on
)

select * from final
