with interactions as (

    select * from {{ ref('int_affinity__interactions') }}

),

tallies as (

    select
        profile_id,
        category as item,
        cast(sum(weight) as bigint) as weight,
        cast(sum(weight * weight) as bigint) as squares
    from interactions
    group by profile_id, category

),

shrunk as (

    {{ shrunk_shares('tallies') | indent(4) }}

),

final as (

    select
        profile_id,
        item as category,
        weight,
        share,
        population_share,
        evidence,
        shrunk_share as affinity,
        {{ ratio('shrunk_share', 'population_share') }} as lift,
        cast(row_number() over (
            partition by profile_id
            order by shrunk_share desc nulls last, weight desc nulls last, item asc nulls last
        ) as integer) as category_rank
    from shrunk

)

select * from final
