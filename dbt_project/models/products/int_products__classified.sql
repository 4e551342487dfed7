with products as (
    select * from {{ ref('stg_shop__products') }}
),

lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

codes as (
    select * from {{ ref('non_product_codes') }}
),

known as (
    select distinct products.product_id
    from products
    union all
    select distinct lines.product_id
    from lines
),

distinct_products as (
    select known.product_id
    from known
    where known.product_id is not null
    group by known.product_id
),

matched as (
    select
        distinct_products.product_id,
        min(codes.reason) as reason
    from distinct_products
    inner join codes
        on
            (codes.match_type = 'exact' and upper(distinct_products.product_id) = codes.pattern)
            or (
                codes.match_type = 'prefix'
                and left(upper(distinct_products.product_id), length(codes.pattern)) = codes.pattern
            )
    group by distinct_products.product_id
),

final as (
    select
        distinct_products.product_id,
        matched.product_id is null as is_product,
        matched.reason as non_product_reason
    from distinct_products
    left join matched on distinct_products.product_id = matched.product_id
)

select * from final
