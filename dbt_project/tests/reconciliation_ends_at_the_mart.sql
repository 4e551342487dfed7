-- The last step of the reconciliation is what fct_order_lines holds, per currency, to the row and the cent.
with reconciliation as (
    select * from {{ ref('order_reconciliation') }}
),

order_lines as (
    select * from {{ ref('fct_order_lines') }}
),

mart as (
    select
        order_lines.currency,
        count(*) as n_rows,
        sum(order_lines.net_revenue) as net_revenue
    from order_lines
    group by order_lines.currency
)

select
    reconciliation.currency,
    reconciliation.rows_left,
    mart.n_rows,
    reconciliation.revenue_left,
    mart.net_revenue
from reconciliation
left join mart on reconciliation.currency = mart.currency
where
    reconciliation.step = 'mart net revenue'
    and (
        reconciliation.rows_left <> coalesce(mart.n_rows, 0)
        or reconciliation.revenue_left <> coalesce(mart.net_revenue, 0)
    )
