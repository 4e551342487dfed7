with transitions as (

    select * from {{ ref('lifecycle_transitions') }}

),

counted as (

    select
        vocabulary,
        from_stage,
        to_stage,
        count(*) as n_transitions
    from transitions
    where from_stage is not null
    group by vocabulary, from_stage, to_stage

),

summed as (

    select
        *,
        cast(sum(n_transitions) over (partition by vocabulary, from_stage) as bigint) as n_from
    from counted

),

final as (

    select
        vocabulary,
        from_stage,
        to_stage,
        n_transitions,
        n_from,
        case
            when n_from >= {{ var('lifecycle_min_observations') }} then {{ ratio('n_transitions', 'n_from') }}
        end as probability
    from summed

)

select * from final
