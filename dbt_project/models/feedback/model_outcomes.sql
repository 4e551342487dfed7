{%- set chance = 1.96 -%}
{%- set tolerance = var('decay_tolerance') -%}

with metrics as (

    select * from {{ source('ml', 'metrics') }}

),

recommendations as (

    select * from {{ ref('recommendation_outcomes') }}

),

churn as (

    select * from {{ ref('int_feedback__churn') }}

),

lifetime_values as (

    select * from {{ ref('lifetime_value_outcomes') }}

),

measured as (

    select
        'recommendations' as job,
        model_version,
        as_of_on,
        'hr_at_3' as metric,
        n_buyers as n,
        hit_rate as value,
        {{ ratio('sqrt(hit_rate * (1 - hit_rate))', 'sqrt(n_buyers)') }} as standard_error
    from recommendations
    where
        dimension = 'all'
        and n_buyers > 0

    union all

    select
        'churn' as job,
        model_version,
        as_of_on,
        'brier' as metric,
        count(*) as n,
        avg(squared_error) as value,
        {{ ratio('coalesce(stddev_samp(squared_error), 0)', 'sqrt(count(*))') }} as standard_error
    from churn
    group by model_version, as_of_on

),

-- of the horizon of the back-test, which alone was tried
tried_values as (

    select
        lifetime_values.*,
        {{ ratio('actual.value', 'expected.value') }} - 1 as back_test,
        actual.n as n_back_test
    from lifetime_values
    inner join metrics as horizons
        on
            lifetime_values.model_version = horizons.model_version
            and lifetime_values.horizon_days = horizons.value
            and horizons.metric = 'horizon_days'
            and horizons.segment = ''
    inner join metrics as actual
        on
            lifetime_values.model_version = actual.model_version
            and actual.metric = 'actual_revenue'
            and actual.segment = ''
    inner join metrics as expected
        on
            lifetime_values.model_version = expected.model_version
            and expected.metric = 'expected_revenue'
            and expected.segment = ''
    where lifetime_values.expected_value > 0

),

-- how much worse than the back-test, in the unit of the measure, and what of that may be chance
compared as (

    select
        measured.job,
        measured.model_version,
        measured.as_of_on,
        measured.metric,
        measured.n,
        measured.value,
        metrics.value as back_test,
        case when measured.metric = 'brier' then -1 else 1 end * (metrics.value - measured.value) as shortfall,
        -- the back-test's own error is that of as many of the same people
        {{ chance }} * measured.standard_error * sqrt(1 + {{ ratio('measured.n', 'metrics.n') }}) as by_chance,
        {{ tolerance }} * metrics.value as tolerated
    from measured
    inner join metrics
        on
            measured.model_version = metrics.model_version
            and measured.metric = metrics.metric
            and metrics.segment = ''

    union all

    select
        'lifetime_value' as job,
        model_version,
        as_of_on,
        'revenue_off' as metric,
        n_people as n,
        {{ ratio('actual_value', 'expected_value') }} - 1 as value,
        back_test,
        abs({{ ratio('actual_value', 'expected_value') }} - 1) - abs(back_test) as shortfall,
        {{ chance }}
        * {{ ratio('standard_error', 'expected_value') }}
        * sqrt(1 + {{ ratio('n_people', 'n_back_test') }}) as by_chance,
        cast({{ tolerance }} as double precision) as tolerated
    from tried_values

),

final as (

    select
        job,
        model_version,
        as_of_on,
        metric,
        n,
        value,
        back_test,
        shortfall,
        by_chance,
        tolerated,
        coalesce(shortfall > tolerated and shortfall > by_chance, false) as is_decayed
    from compared

)

select * from final
