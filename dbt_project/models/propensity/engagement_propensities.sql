with predictions as (

    select * from {{ source('ml', 'engagement_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

current_predictions as (

    {{ newest_predictions('predictions', 'profiles', 'clock') }}

),

-- equal probabilities are in the same tenth, so that a tenth may be larger or empty
placed as (

    select
        *,
        {%- for measure in ['open', 'click'] %}
        rank() over (order by p_{{ measure }} asc) - 1 as n_less_{{ measure }},
        {%- endfor %}
        count(*) over () as n_people
    from current_predictions

),

final as (

    select
        profile_id,
        p_open,
        p_click,
        {%- for measure in ['open', 'click'] %}
        cast(1 + floor(10 * {{ ratio('n_less_' ~ measure, 'n_people') }}) as integer) as {{ measure }}_decile,
        {%- endfor %}
        model_version,
        trained_at,
        as_of
    from placed

)

select * from final
