with transitions as (

    select * from {{ ref('lifecycle_transitions') }}

),

stages as (

    select * from {{ ref('lifecycle_stages') }}

),

first_build as (

    select min(transitioned_at) as first_at from transitions

),

-- what the first build saw had begun nobody knows when
begun as (

    select
        transitions.profile_id,
        transitions.vocabulary,
        transitions.from_stage,
        transitions.to_stage as stage,
        transitions.transitioned_at as started_at
    from transitions
    cross join first_build
    where transitions.from_stage is not null or transitions.transitioned_at > first_build.first_at

),

followed as (

    select
        profile_id,
        vocabulary,
        stage,
        started_at,
        lead(started_at) over (
            partition by profile_id, vocabulary
            order by started_at asc nulls last
        ) as next_at,
        lead(from_stage) over (
            partition by profile_id, vocabulary
            order by started_at asc nulls last
        ) as next_from_stage
    from begun

),

-- a row that does not follow from the one before came with another profile in a merge: she was seen in the stage until then
spells as (

    select
        followed.vocabulary,
        followed.stage,
        {{ days_between(
            local_date(add_microseconds('followed.started_at', -1)),
            local_date(add_microseconds('coalesce(followed.next_at, stages.as_of)', -1))
        ) }} as days,
        case when followed.next_from_stage = followed.stage then 1 else 0 end as is_completed
    from followed
    left join stages
        on followed.profile_id = stages.profile_id
    where followed.next_at is not null or stages.profile_id is not null

),

by_length as (

    select
        vocabulary,
        stage,
        days,
        count(*) as n_spells,
        sum(is_completed) as n_completed
    from spells
    group by vocabulary, stage, days

),

at_risk as (

    select
        *,
        sum(n_spells) over (
            partition by vocabulary, stage
            order by days desc nulls last
            rows between unbounded preceding and current row
        ) as n_at_risk
    from by_length

),

-- Kaplan–Meier: the share that stays longer than so many days is the product of those that stayed at each length up to it;
-- where all that were left went, it is zero
survival as (

    select
        vocabulary,
        stage,
        days,
        n_spells,
        n_completed,
        case
            when n_completed = n_at_risk then 0
            else exp(sum(ln(nullif(1 - {{ ratio('n_completed', 'n_at_risk') }}, 0))) over (
                partition by vocabulary, stage
                order by days asc nulls last
                rows between unbounded preceding and current row
            ))
        end as share_staying
    from at_risk

),

summed as (

    select
        vocabulary,
        stage,
        cast(sum(n_spells) as bigint) as n_spells,
        cast(sum(n_completed) as bigint) as n_completed,
        {{ ratio('sum(days * n_completed)', 'sum(n_completed)') }} as mean_days,
        -- at most half, beyond the rounding of a product of doubles
        min(case when share_staying <= 0.500000001 then days end) as median_days
    from survival
    group by vocabulary, stage

),

final as (

    select
        vocabulary,
        stage,
        n_spells,
        n_completed,
        case when n_completed >= {{ var('lifecycle_min_observations') }} then mean_days end as mean_days_to_next_stage,
        case when n_spells >= {{ var('lifecycle_min_observations') }} then median_days end as median_days_to_next_stage
    from summed

)

select * from final
