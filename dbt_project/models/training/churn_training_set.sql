with snapshots as (

    select * from {{ ref('profile_feature_snapshots') }}

),

cutoffs as (

    select * from {{ ref('int_training__cutoffs') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

links as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

-- profiles of a cut-off that became part of others since
former_profiles as (

    select distinct snapshots.profile_id
    from snapshots
    left join profiles on snapshots.profile_id = profiles.profile_id
    where profiles.profile_id is null

),

-- a profile is called after one of its identifiers: whose that one is by now, she is
present_profiles as (

    select
        former_profiles.profile_id,
        links.profile_id as present_profile_id
    from links
    inner join former_profiles
        on {{ node_hash('links.identifier_type', 'links.identifier_value') }} = former_profiles.profile_id

),

later_purchases as (

    select
        cutoffs.as_of,
        orders.profile_id,
        count(*) as n_purchases,
        count(distinct orders.ordered_on) as n_purchase_days,
        sum(orders.net_revenue) as net_revenue
    from cutoffs
    inner join orders
        on
            cutoffs.as_of <= orders.ordered_at
            and cutoffs.horizon_ends_at > orders.ordered_at
    where orders.is_purchase
    group by cutoffs.as_of, orders.profile_id

),

final as (

    select
        snapshots.*,
        cutoffs.horizon_ends_at,
        later_purchases.n_purchases is null as has_churned,
        coalesce(later_purchases.n_purchase_days, 0) as purchase_days_ahead,
        cast(coalesce(later_purchases.net_revenue, 0) as numeric(18, 2)) as revenue_ahead
    from snapshots
    inner join cutoffs
        on snapshots.as_of = cutoffs.as_of
    left join present_profiles
        on snapshots.profile_id = present_profiles.profile_id
    left join later_purchases
        on
            snapshots.as_of = later_purchases.as_of
            and coalesce(present_profiles.present_profile_id, snapshots.profile_id) = later_purchases.profile_id
    -- only a buyer can stop buying
    where snapshots.orders_lifetime > 0

)

select * from final
