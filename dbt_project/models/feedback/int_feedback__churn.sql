with predictions as (

    select * from {{ ref('int_feedback__complete') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

asked as (

    select * from predictions
    where job = 'churn'

),

bought as (

    select distinct
        asked.model_version,
        asked.as_of_on,
        asked.profile_id
    from asked
    inner join orders
        on
            asked.profile_id = orders.profile_id
            and asked.as_of <= orders.ordered_at
            and asked.horizon_ends_at > orders.ordered_at
    where orders.is_purchase

),

final as (

    select
        asked.model_version,
        asked.as_of_on,
        asked.profile_id,
        asked.value as churn_probability,
        bought.profile_id is null as has_churned,
        cast(ntile(10) over (
            partition by asked.model_version, asked.as_of_on
            order by asked.value asc nulls last, asked.profile_id asc nulls last
        ) as integer) as bin,
        power(asked.value - case when bought.profile_id is null then 1 else 0 end, 2) as squared_error
    from asked
    left join bought
        on
            asked.model_version = bought.model_version
            and asked.as_of_on = bought.as_of_on
            and asked.profile_id = bought.profile_id

)

select * from final
