with history as (

    select * from {{ ref('segment_membership_history') }}

),

moves as (

    select
        segment_name,
        entered_at as changed_at,
        1 as n_entered,
        0 as n_left
    from history

    union all

    select
        segment_name,
        left_at as changed_at,
        0 as n_entered,
        1 as n_left
    from history
    where left_at is not null

),

changes as (

    select
        segment_name,
        changed_at,
        sum(n_entered) as n_entered,
        sum(n_left) as n_left
    from moves
    group by segment_name, changed_at

),

final as (

    select
        segment_name,
        changed_at,
        {{ local_date(add_microseconds('changed_at', -1)) }} as changed_on,
        cast(n_entered as bigint) as n_entered,
        cast(n_left as bigint) as n_left,
        cast(sum(n_entered - n_left) over (
            partition by segment_name
            order by changed_at asc nulls last
            rows between unbounded preceding and current row
        ) as bigint) as n_members
    from changes

)

select * from final
