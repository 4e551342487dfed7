{%- set settings = var('repurchase') -%}
{%- set prior = settings['prior_gaps'] -%}

with products as (

    select * from {{ ref('dim_products') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

purchase_days as (

    select distinct
        profile_id,
        product_id,
        ordered_on
    from order_lines
    where
        profile_id is not null
        and net_quantity > 0

),

gaps as (

    select
        purchase_days.profile_id,
        purchase_days.product_id,
        purchase_days.ordered_on,
        products.category,
        {{ days_between(
            'lag(purchase_days.ordered_on) over '
            ~ '(partition by purchase_days.profile_id, purchase_days.product_id order by purchase_days.ordered_on)',
            'purchase_days.ordered_on'
        ) }} as days
    from purchase_days
    inner join products
        on purchase_days.product_id = products.product_id

),

-- the same gaps for each product, for each category and for the store
levels as (

    select
        'product' as level,
        product_id as name,
        days,
        profile_id,
        product_id,
        ordered_on
    from gaps
    where days is not null

    union all

    select
        'category' as level,
        category as name,
        days,
        profile_id,
        product_id,
        ordered_on
    from gaps
    where
        days is not null
        and category is not null

    union all

    select
        'store' as level,
        'store' as name,
        days,
        profile_id,
        product_id,
        ordered_on
    from gaps
    where days is not null

),

ranked as (

    select
        level,
        name,
        days,
        count(*) over (partition by level, name) as n_gaps,
        row_number() over (
            partition by level, name
            order by days asc, profile_id asc, product_id asc, ordered_on asc
        ) as position
    from levels

),

-- the shortest gap that at least this share of all gaps does not exceed
quantiles as (

    select
        level,
        name,
        max(n_gaps) as n_gaps,
        cast(min(case when position >= {{ settings['quantile'] }} * n_gaps then days end) as double precision) as days
    from ranked
    group by level, name

),

buyers as (

    select
        profile_id,
        product_id,
        count(*) as n_days
    from purchase_days
    group by profile_id, product_id
    -- whoever bought it the other day has had no time to come back for it
    having min(ordered_on) <= {{ add_days(as_of_on(), -1 * settings['never_after_days']) }}

),

counted as (

    select
        product_id,
        count(*) as n_buyers,
        count(case when n_days > 1 then 1 end) as n_repeaters
    from buyers
    group by product_id

),

-- one row, also where nobody has come back for anything yet
store as (

    select coalesce(max(days), {{ settings['default_days'] }}) as days
    from quantiles
    where level = 'store'

),

of_categories as (

    select
        products.product_id,
        coalesce(
            (coalesce(categories.n_gaps * categories.days, 0) + {{ prior }} * store.days)
            / nullif(coalesce(categories.n_gaps, 0) + {{ prior }}, 0),
            store.days
        ) as days
    from products
    left join quantiles as categories
        on
            products.category = categories.name
            and categories.level = 'category'
    cross join store

),

final as (

    select
        of_categories.product_id,
        cast(coalesce(own.n_gaps, 0) as bigint) as n_gaps,
        cast(coalesce(counted.n_buyers, 0) as bigint) as n_buyers,
        cast(coalesce(counted.n_repeaters, 0) as bigint) as n_repeaters,
        cast(floor(0.5 + coalesce(
            (coalesce(own.n_gaps * own.days, 0) + {{ prior }} * of_categories.days)
            / nullif(coalesce(own.n_gaps, 0) + {{ prior }}, 0),
            of_categories.days
        )) as bigint) as days,
        coalesce(
            counted.n_buyers < {{ settings['never_min_buyers'] }}
            or counted.n_repeaters >= {{ settings['never_max_share'] }} * counted.n_buyers,
            true
        ) as is_bought_again
    from of_categories
    left join quantiles as own
        on
            of_categories.product_id = own.name
            and own.level = 'product'
    left join counted
        on of_categories.product_id = counted.product_id

)

select * from final
