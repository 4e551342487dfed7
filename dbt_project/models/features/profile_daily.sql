{{ config(materialized='view') }}

with identifier_days as (

    select * from {{ ref('identifier_daily') }}

),

links as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

final as (

    select
        links.profile_id,
        identifier_days.activity_on,
        {%- for measure in daily_measures() %}
        cast(sum(identifier_days.{{ measure }}) as {{ daily_measure_type(measure) }}) as {{ measure }},
        {%- endfor %}
        {%- for instant in daily_instants() %}
        max(identifier_days.{{ instant }}) as {{ instant }},
        {%- endfor %}
        max(identifier_days.known_through) as known_through
    from identifier_days
    inner join links
        on
            identifier_days.identifier_type = links.identifier_type
            and identifier_days.identifier_value = links.identifier_value
    group by links.profile_id, identifier_days.activity_on

)

select * from final
