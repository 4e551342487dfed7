-- derived from the clock, so that a past build trains on its own past
{%- set horizon = var('churn_horizon_days') -%}
{%- set step = var('training_cutoff_step_days') %}

with clock as (

    select
        as_of,
        -- whole local days that have ended at as_of: the last one ends at this midnight
        {{ local_date('as_of') }} as complete_until_on
    from {{ source('control', 'clock') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

history as (

    select {{ local_date('min(ordered_at)') }} as first_ordered_on
    from orders

),

steps as (
    {% for i in range(var('training_cutoffs')) %}
    select cast({{ i }} as integer) as cutoff_number
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

),

dated as (

    select
        steps.cutoff_number,
        {{ add_days('clock.complete_until_on', '-' ~ horizon ~ ' - ' ~ step ~ ' * steps.cutoff_number') }} as cutoff_on,
        {{ add_days('clock.complete_until_on', '-' ~ step ~ ' * steps.cutoff_number') }} as horizon_ends_on,
        history.first_ordered_on
    from steps
    cross join clock
    cross join history

),

final as (

    select
        cutoff_number,
        {{ local_midnight('cutoff_on') }} as as_of,
        {{ local_midnight('cutoff_on') }} as known_at,
        {{ local_midnight('horizon_ends_on') }} as horizon_ends_at
    from dated
    -- the first orders need some days behind them, else every feature is about the data's beginning
    where {{ days_between('first_ordered_on', 'cutoff_on') }} >= {{ var('training_min_history_days') }}

)

select * from final
