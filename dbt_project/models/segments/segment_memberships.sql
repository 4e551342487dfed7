with memberships as (
    {% for segment_model in segment_models() %}
    select
        profile_id,
        '{{ segment_model[4:] }}' as segment_name,
        as_of
    from {{ ref(segment_model) }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

),

final as (

    select
        profile_id,
        segment_name,
        as_of
    from memberships

)

select * from final
