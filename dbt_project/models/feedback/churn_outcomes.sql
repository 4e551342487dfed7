with people as (

    select * from {{ ref('int_feedback__churn') }}

),

final as (

    select
        model_version,
        as_of_on,
        bin,
        count(*) as n_people,
        avg(churn_probability) as mean_predicted,
        {{ ratio('sum(case when has_churned then 1 else 0 end)', 'count(*)') }} as observed_rate,
        avg(squared_error) as brier_score
    from people
    group by model_version, as_of_on, bin

)

select * from final
