-- Two ways to the same number: features take orders from lines as of the clock, the rollup takes them from orders.
with features as (
    select * from {{ ref('profile_features') }}
),

days as (
    select * from {{ ref('profile_daily') }}
),

totals as (
    select
        profile_id,
        sum(n_orders) as n_orders,
        sum(n_items) as n_items,
        sum(net_revenue) as net_revenue,
        sum(n_sessions) as n_sessions
    from days
    group by profile_id
)

select
    features.profile_id,
    features.orders_lifetime,
    totals.n_orders
from features
left join totals on features.profile_id = totals.profile_id
where
    features.orders_lifetime != coalesce(totals.n_orders, 0)
    or features.items_lifetime != coalesce(totals.n_items, 0)
    or features.revenue_lifetime != coalesce(totals.net_revenue, 0)
    or features.sessions_lifetime != coalesce(totals.n_sessions, 0)
