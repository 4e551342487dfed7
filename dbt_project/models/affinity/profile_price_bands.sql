{%- set bands = ['low', 'middle', 'high'] -%}

with profiles as (

    select * from {{ ref('dim_profiles') }}

),

interactions as (

    select * from {{ ref('int_affinity__interactions') }}

),

price_bands as (

    select * from {{ ref('int_affinity__price_bands') }}

),

tallies as (

    {%- for band in bands %}

    select
        interactions.profile_id,
        '{{ band }}' as item,
        cast(sum(case when price_bands.price_band = '{{ band }}' then interactions.weight else 0 end) as bigint) as weight,
        cast(sum(
            case when price_bands.price_band = '{{ band }}' then interactions.weight * interactions.weight else 0 end
        ) as bigint) as squares
    from interactions
    inner join price_bands
        on interactions.product_id = price_bands.product_id
    group by interactions.profile_id
    {{- '\n\n    union all' if not loop.last }}
    {%- endfor %}

),

shrunk as (

    {{ shrunk_shares('tallies') | indent(4) }}

),

probabilities as (

    select
        profile_id,
        max(evidence) as evidence,
        {%- for band in bands %}
        max(case when item = '{{ band }}' then shrunk_share end) as p_{{ band }}{{ ',' if not loop.last }}
        {%- endfor %}
    from shrunk
    group by profile_id

),

final as (

    select
        profiles.profile_id,
        case
            when probabilities.profile_id is null then null
            when
                probabilities.p_middle >= probabilities.p_low
                and probabilities.p_middle >= probabilities.p_high then 'middle'
            when probabilities.p_low >= probabilities.p_high then 'low'
            else 'high'
        end as price_band,
        {%- for band in bands %}
        probabilities.p_{{ band }},
        {%- endfor %}
        coalesce(probabilities.evidence, 0) as evidence
    from profiles
    left join probabilities
        on profiles.profile_id = probabilities.profile_id

)

select * from final
