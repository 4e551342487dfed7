with source as (
    select * from {{ source('raw', 'shop_products') }}
),

final as (
    select
        -- ids
        source.product_id,

        -- text
        source.product_name,
        {{ clean_text('source.category') }} as category,
        source.currency,
        source.product_url,
        source.image_url,

        -- numerics
        source.price,
        source.stock_quantity,

        -- timestamps
        source.updated_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    where {{ visible('shop', 'source.updated_at') }}
)

select * from final
