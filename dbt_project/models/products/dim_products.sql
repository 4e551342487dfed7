with versions as (
    select * from {{ ref('stg_shop__products') }}
),

lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

classified as (
    select * from {{ ref('int_products__classified') }}
),

ranked_versions as (
    select
        versions.*,
        row_number() over (
            partition by versions.product_id
            order by
                versions.updated_at desc nulls last,
                versions.loaded_at desc nulls last,
                versions.load_id desc,
                versions.row_number desc
        ) as position
    from versions
),

-- sold but not (yet) in the catalogue: named by its lines, without price, never in stock
described as (
    select
        lines.product_id,
        lines.description,
        count(*) as n_lines
    from lines
    where lines.description is not null and lines.quantity > 0
    group by lines.product_id, lines.description
),

ranked_descriptions as (
    select
        described.product_id,
        described.description,
        row_number() over (
            partition by described.product_id
            order by described.n_lines desc, described.description asc
        ) as position
    from described
),

final as (
    select
        classified.product_id,
        coalesce(ranked_versions.product_name, ranked_descriptions.description) as product_name,
        ranked_versions.category,
        cast(ranked_versions.price as numeric(18, 2)) as price,
        ranked_versions.currency,
        ranked_versions.product_url,
        ranked_versions.image_url,
        coalesce(ranked_versions.stock_quantity, 0) as stock_quantity,
        coalesce(ranked_versions.stock_quantity, 0) > 0 as is_in_stock,
        classified.is_product,
        ranked_versions.product_id is not null as is_in_catalogue,
        ranked_versions.updated_at
    from classified
    left join ranked_versions
        on classified.product_id = ranked_versions.product_id and ranked_versions.position = 1
    left join ranked_descriptions
        on classified.product_id = ranked_descriptions.product_id and ranked_descriptions.position = 1
)

select * from final
