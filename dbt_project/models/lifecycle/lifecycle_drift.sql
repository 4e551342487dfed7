{{ config(materialized='view') }}

with compared as (

    {{ compared_shares(var('drift_reference_days')) | indent(4) }}

),

-- the logarithm of nothing is infinite: an empty stage counts as one in ten thousand
floored as (

    select
        as_of_on,
        earlier_on,
        vocabulary,
        greatest(share_before, 0.0001) as share_before,
        greatest(share_after, 0.0001) as share_after
    from compared

),

final as (

    select
        as_of_on,
        earlier_on as reference_on,
        vocabulary,
        sum((share_after - share_before) * ln(share_after / share_before)) as population_stability_index
    from floored
    group by as_of_on, earlier_on, vocabulary

)

select * from final
