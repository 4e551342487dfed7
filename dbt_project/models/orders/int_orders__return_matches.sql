with lines as (
    select * from {{ ref('int_orders__lines') }}
),

final as (
    {{ matched_returns('lines') | indent(4) }}
)

select * from final
