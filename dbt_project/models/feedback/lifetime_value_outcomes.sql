with predictions as (

    select * from {{ ref('int_feedback__complete') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

-- two profiles of that day may be one person now, who spends once
people as (

    select
        model_version,
        as_of_on,
        as_of,
        horizon_ends_at,
        horizon_days,
        profile_id,
        sum(value) as expected_value
    from predictions
    where job = 'lifetime_value'
    group by model_version, as_of_on, as_of, horizon_ends_at, horizon_days, profile_id

),

spent as (

    select
        people.model_version,
        people.as_of_on,
        people.horizon_days,
        people.profile_id,
        people.expected_value,
        cast(coalesce(sum(orders.net_revenue), 0) as double precision) as actual_value
    from people
    left join orders
        on
            people.profile_id = orders.profile_id
            and people.as_of <= orders.ordered_at
            and people.horizon_ends_at > orders.ordered_at
            and orders.is_purchase
    group by people.model_version, people.as_of_on, people.horizon_days, people.profile_id, people.expected_value

),

final as (

    select
        model_version,
        as_of_on,
        horizon_days,
        count(*) as n_people,
        sum(expected_value) as expected_value,
        sum(actual_value) as actual_value,
        coalesce(stddev_samp(actual_value - expected_value), 0) * sqrt(count(*)) as standard_error
    from spent
    group by model_version, as_of_on, horizon_days

)

select * from final
