with snapshots as (

    select * from {{ ref('profile_feature_snapshots') }}

),

cutoffs as (

    select * from {{ ref('int_training__cutoffs') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

later_purchases as (

    select
        cutoffs.as_of,
        orders.profile_id,
        count(*) as n_purchases
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
        later_purchases.n_purchases is null as has_churned
    from snapshots
    inner join cutoffs
        on snapshots.as_of = cutoffs.as_of
    left join later_purchases
        on
            snapshots.as_of = later_purchases.as_of
            and snapshots.profile_id = later_purchases.profile_id
    -- only a buyer can stop buying
    where snapshots.orders_lifetime > 0

)

select * from final
