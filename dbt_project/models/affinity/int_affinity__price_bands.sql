{{ config(materialized='view') }}

with products as (

    select * from {{ ref('dim_products') }}

),

-- among the prices of one category in one currency: how many are lower, how many the same
placed as (

    select
        product_id,
        rank() over (partition by category, currency order by price asc nulls last) - 1 as n_cheaper,
        count(*) over (partition by category, currency, price) as n_equal,
        count(*) over (partition by category, currency) as n_products
    from products
    where
        is_product
        and price > 0
        and category is not null

),

final as (

    select
        product_id,
        -- thirds of the middle rank, in whole numbers: equal prices share a band, and a product alone is in the middle
        case
            when 3 * (2 * n_cheaper + n_equal) < 2 * n_products then 'low'
            when 3 * (2 * n_cheaper + n_equal) > 4 * n_products then 'high'
            else 'middle'
        end as price_band
    from placed

)

select * from final
