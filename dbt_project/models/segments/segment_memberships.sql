-- a segment is a set of profiles: of a segment model only profile_id is read, once each
with memberships as (
    {% for segment_model in segment_models() %}
    select distinct
        profile_id,
        '{{ segment_model[4:] }}' as segment_name
    from {{ ref(segment_model) }}
    where profile_id is not null
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

),

clock as (

    select * from {{ source('control', 'clock') }}

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
