{#- One pass over the lines gives each the step that takes it out; the steps are then summed from the top. -#}
with lines as (
    select * from {{ ref('int_orders__lines') }}
),

order_lines as (
    select * from {{ ref('fct_order_lines') }}
),

valued as (
    select
        lines.*,
        coalesce(lines.currency, 'unknown') as money,
        cast(lines.quantity * lines.unit_price as numeric(18, 4)) as revenue,
        case
            when lines.excluded_reason in ('superseded', 'order_unknown') then 2
            when lines.customer_id is null then 3
            when lines.order_type = 'return' then 4
            when not coalesce(lines.quantity > 0, false) then 5
            when not coalesce(lines.unit_price > 0, false) then 6
        end as cut_step
    from lines
),

stepped as (
    select
        valued.*,
        case
            when valued.cut_step is not null then valued.cut_step
            when valued.excluded_reason = 'exact_duplicate' then 8
            when valued.excluded_reason = 'test_order' then 9
            when valued.excluded_reason = 'cancelled_order' then 10
            when valued.excluded_reason is not null then 11
        end as out_step,
        -- put back: sales without a customer that every rule of the mart lets through
        coalesce(valued.cut_step = 3 and valued.order_type = 'sale' and valued.excluded_reason is null, false) as is_put_back
    from valued
),

currencies as (
    select distinct stepped.money
    from stepped
),

steps as (
    {%- for number, step, rule in [
        (1, 'raw lines', 'every line visible at the clock'),
        (2, 'unusable deliveries', 'a later delivery of the line replaced it, or its order is unknown'),
        (3, 'no customer', 'the order names no customer'),
        (4, 'returns', 'lines of returns and cancellation invoices'),
        (5, 'quantity', 'quantity is not above zero'),
        (6, 'price', 'price is not above zero'),
        (7, 'published clean cut', 'subtotal: customer known, no return, quantity and price above zero'),
        (8, 'exact duplicates', 'equal to another line of the order in everything but its number'),
        (9, 'test orders', 'placed to test the shop'),
        (10, 'cancelled orders', 'cancelled before the clock'),
        (11, 'not a product', 'codes declared in non_product_codes'),
        (12, 'guests put back', 'sales without a customer that pass every rule above (negative: added)'),
        (13, 'rounding', 'each line in cents'),
        (14, 'returns netted', 'returned units at the price of the sale that they take back'),
        (15, 'mart net revenue', 'total: fct_order_lines')] %}
    select
        {{ number }} as step_number,
        '{{ step }}' as step,
        '{{ rule }}' as rule
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- every branch states its type: a union of numeric(38,4) and numeric(38,2) would round to cents on DuckDB
removed as (
    select
        stepped.money,
        stepped.out_step as step_number,
        count(*) as rows_removed,
        cast(sum(stepped.revenue) as numeric(18, 4)) as revenue_removed
    from stepped
    where stepped.out_step is not null
    group by stepped.money, stepped.out_step
    union all
    select
        stepped.money,
        12 as step_number,
        -count(*) as rows_removed,
        cast(-sum(stepped.revenue) as numeric(18, 4)) as revenue_removed
    from stepped
    where stepped.is_put_back
    group by stepped.money
    union all
    select
        order_lines.currency as money,
        13 as step_number,
        0 as rows_removed,
        cast(
            sum(cast(order_lines.quantity * order_lines.unit_price as numeric(18, 4)) - order_lines.gross_revenue)
            as numeric(18, 4)
        ) as revenue_removed
    from order_lines
    group by order_lines.currency
    union all
    select
        order_lines.currency as money,
        14 as step_number,
        0 as rows_removed,
        cast(sum(order_lines.returned_revenue) as numeric(18, 4)) as revenue_removed
    from order_lines
    group by order_lines.currency
),

raw_totals as (
    select
        stepped.money,
        count(*) as n_rows,
        sum(stepped.revenue) as revenue
    from stepped
    group by stepped.money
),

-- fewer rows to count over: where each order's lines leave
orders_stepped as (
    select
        stepped.money,
        stepped.order_id,
        stepped.customer_id,
        stepped.out_step,
        stepped.is_put_back
    from stepped
    group by stepped.money, stepped.order_id, stepped.customer_id, stepped.out_step, stepped.is_put_back
),

-- customers and orders of the lines that are in after each step
left_after as (
    select
        steps.step_number,
        orders_stepped.money,
        count(distinct orders_stepped.order_id) as orders_left,
        count(distinct orders_stepped.customer_id) as customers_left
    from steps
    inner join orders_stepped
        on
            (orders_stepped.out_step is null or steps.step_number < orders_stepped.out_step)
            or (orders_stepped.is_put_back and steps.step_number >= 12)
    group by steps.step_number, orders_stepped.money
),

final as (
    select
        steps.step_number,
        steps.step,
        steps.rule,
        currencies.money as currency,
        cast(coalesce(removed.rows_removed, 0) as bigint) as rows_removed,
        cast(coalesce(removed.revenue_removed, 0) as numeric(18, 4)) as revenue_removed,
        cast(
            raw_totals.n_rows - sum(coalesce(removed.rows_removed, 0)) over (
                partition by currencies.money order by steps.step_number asc
                rows between unbounded preceding and current row
            )
            as bigint
        ) as rows_left,
        cast(
            raw_totals.revenue - sum(coalesce(removed.revenue_removed, 0)) over (
                partition by currencies.money order by steps.step_number asc
                rows between unbounded preceding and current row
            )
            as numeric(18, 4)
        ) as revenue_left,
        cast(coalesce(left_after.orders_left, 0) as bigint) as orders_left,
        cast(coalesce(left_after.customers_left, 0) as bigint) as customers_left
    from currencies
    cross join steps
    inner join raw_totals on currencies.money = raw_totals.money
    left join removed on currencies.money = removed.money and steps.step_number = removed.step_number
    left join left_after on currencies.money = left_after.money and steps.step_number = left_after.step_number
)

select * from final
