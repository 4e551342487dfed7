with source as (
    select * from {{ source('raw', 'shop_order_lines') }}
),

final as (
    select
        -- ids
        source.order_id,
        source.line_number,
        source.product_id,

        -- text
        source.description,

        -- numerics
        source.quantity,
        source.unit_price,

        -- timestamps
        source.created_at,
        {{ known_at_of('shop', 'source.created_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    where {{ visible('shop', 'source.created_at') }}
)

select * from final
