{{ config(materialized='view') }}

with compared as (

    {{ compared_shares(1) | indent(4) }}

),

-- beyond the rounding of a difference of doubles
final as (

    select
        as_of_on,
        earlier_on,
        vocabulary,
        stage,
        share_before,
        share_after,
        share_after - share_before as share_change,
        abs(share_after - share_before) > {{ var('stage_shift_max_share') }} + 0.000000001 as is_sudden
    from compared

)

select * from final
