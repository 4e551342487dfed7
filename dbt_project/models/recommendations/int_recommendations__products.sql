with products as (

    select * from {{ ref('dim_products') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

-- what nobody may be offered never enters a rung: not for sale, sold out, without price or name
offered as (

    select * from products
    where
        is_product
        and is_in_stock
        and price > 0
        and product_name is not null

),

sales as (

    select
        product_id,
        count(distinct case when ordered_on > {{ add_days(as_of_on(), -1 * var('popularity_window_days')) }} then order_id end)
            as recent_orders,
        count(distinct order_id) as all_orders
    from order_lines
    where net_quantity > 0
    group by product_id

),

popularity as (

    select
        offered.*,
        coalesce(sales.recent_orders, 0) as recent_orders,
        coalesce(sales.all_orders, 0) as all_orders
    from offered
    left join sales
        on offered.product_id = sales.product_id

),

final as (

    select
        product_id,
        product_name,
        category,
        price,
        currency,
        product_url,
        image_url,
        cast(recent_orders as bigint) as recent_orders,
        cast(row_number() over (
            order by recent_orders desc nulls last, all_orders desc nulls last, product_id asc nulls last
        ) as bigint) as popularity_rank,
        cast(row_number() over (
            partition by category
            order by recent_orders desc nulls last, all_orders desc nulls last, product_id asc nulls last
        ) as bigint) as category_rank
    from popularity

)

select * from final
