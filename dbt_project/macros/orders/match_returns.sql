{#-
    CTEs `<name>_...` ending in `<name>_matches(return_line_id, order_line_id, returned_at, quantity)`: returned units assigned to
    earlier sold units, first sold first returned, as sets.

    `movements` is a relation (match_group, line_id, happened_at, sequence_1, sequence_2, is_return, quantity > 0). The running
    balance of a group is the sum of sales minus returns; where it falls below every earlier value (and below zero) the return
    had nothing left to take back. So units unmatched so far = max(0, −running minimum), the balance after matching never is
    negative, and the j-th matched unit is the j-th sold unit, which was sold before it. At the same instant sales come first.
-#}
{%- macro match_returns(name, movements) -%}
{{ name }}_balanced as (
    select
        movements.*,
        cast(sum(case when movements.is_return then -movements.quantity else movements.quantity end) over (
            partition by movements.match_group
            order by
                movements.happened_at asc nulls last,
                case when movements.is_return then 1 else 0 end asc,
                movements.sequence_1 asc,
                movements.sequence_2 asc,
                movements.line_id asc
            rows between unbounded preceding and current row
        ) as bigint) as balance,
        row_number() over (
            partition by movements.match_group
            order by
                movements.happened_at asc nulls last,
                case when movements.is_return then 1 else 0 end asc,
                movements.sequence_1 asc,
                movements.sequence_2 asc,
                movements.line_id asc
        ) as position
    from {{ movements }} as movements
),

{{ name }}_clamped as (
    select
        balanced.*,
        greatest(0, -min(balanced.balance) over (
            partition by balanced.match_group
            order by balanced.position asc
            rows between unbounded preceding and current row
        )) as unmatched_so_far,
        cast(sum(case when balanced.is_return then balanced.quantity else 0 end) over (
            partition by balanced.match_group
            order by balanced.position asc
            rows between unbounded preceding and current row
        ) as bigint) as returned_so_far,
        cast(sum(case when balanced.is_return then 0 else balanced.quantity end) over (
            partition by balanced.match_group
            order by balanced.position asc
            rows between unbounded preceding and current row
        ) as bigint) as sold_so_far
    from {{ name }}_balanced as balanced
),

{{ name }}_matched_so_far as (
    select
        clamped.*,
        clamped.returned_so_far - clamped.unmatched_so_far as matched_so_far
    from {{ name }}_clamped as clamped
),

{{ name }}_returned_intervals as (
    select
        matched.match_group,
        matched.line_id,
        matched.happened_at,
        matched.is_return,
        coalesce(lag(matched.matched_so_far) over (
            partition by matched.match_group order by matched.position asc
        ), 0) as from_unit,
        matched.matched_so_far as to_unit
    from {{ name }}_matched_so_far as matched
),

{{ name }}_sold_intervals as (
    select
        matched.match_group,
        matched.line_id,
        matched.sold_so_far - matched.quantity as from_unit,
        matched.sold_so_far as to_unit
    from {{ name }}_matched_so_far as matched
    where not matched.is_return
),

{{ name }}_matches as (
    select
        returned.line_id as return_line_id,
        sold.line_id as order_line_id,
        returned.happened_at as returned_at,
        cast(least(returned.to_unit, sold.to_unit) - greatest(returned.from_unit, sold.from_unit) as bigint) as quantity
    from {{ name }}_returned_intervals as returned
    inner join {{ name }}_sold_intervals as sold
        on
            returned.match_group = sold.match_group
            and returned.from_unit < sold.to_unit
            and sold.from_unit < returned.to_unit
    where returned.is_return
)
{%- endmacro -%}
