{%- set horizon = var('churn_horizon_days') -%}
{%- set prior = var('rhythm_prior_gaps') -%}

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
        min(orders.ordered_on) as next_purchase_on,
        sum(orders.net_revenue) as net_revenue
    from cutoffs
    inner join orders
        on
            cutoffs.as_of <= orders.ordered_at
            and cutoffs.horizon_ends_at > orders.ordered_at
    where orders.is_purchase
    group by cutoffs.as_of, orders.profile_id

),

-- of all buyers together, as far as was known at the cut-off
usual_gaps as (

    select
        as_of,
        cast(sum(days_since_first_purchase - recency_days) as double precision) as gap_days,
        cast(sum(purchase_days_lifetime - 1) as double precision) as n_gaps
    from snapshots
    where orders_lifetime > 0
    group by as_of

),

-- where nobody had bought again there is no rhythm, and the horizon is that of all
paced_snapshots as (

    select
        snapshots.*,
        cast(least({{ horizon }}, greatest({{ var('rhythm_min_days') }}, coalesce(
            ceil(
                {{ var('rhythm_gaps') }} * (
                    (snapshots.days_since_first_purchase - snapshots.recency_days) * usual_gaps.n_gaps
                    + {{ prior }} * usual_gaps.gap_days
                ) / nullif((snapshots.purchase_days_lifetime - 1 + {{ prior }}) * usual_gaps.n_gaps, 0)
            ),
            {{ horizon }}
        ))) as integer) as rhythm_horizon_days
    from snapshots
    -- only a buyer can stop buying
    inner join usual_gaps
        on snapshots.as_of = usual_gaps.as_of
    where snapshots.orders_lifetime > 0

),

final as (

    select
        paced_snapshots.*,
        cutoffs.horizon_ends_at,
        later_purchases.n_purchases is null as has_churned,
        later_purchases.next_purchase_on is null
        or paced_snapshots.rhythm_horizon_days
        < {{ days_between('paced_snapshots.as_of_on', 'later_purchases.next_purchase_on') }} as has_lapsed,
        coalesce(later_purchases.n_purchase_days, 0) as purchase_days_ahead,
        cast(coalesce(later_purchases.net_revenue, 0) as numeric(18, 2)) as revenue_ahead
    from paced_snapshots
    inner join cutoffs
        on paced_snapshots.as_of = cutoffs.as_of
    left join present_profiles
        on paced_snapshots.profile_id = present_profiles.profile_id
    left join later_purchases
        on
            paced_snapshots.as_of = later_purchases.as_of
            and coalesce(present_profiles.present_profile_id, paced_snapshots.profile_id) = later_purchases.profile_id

)

select * from final
