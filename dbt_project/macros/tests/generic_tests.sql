{#- Rows that repeat a combination of columns. -#}
{% test unique_combination(model, columns) %}
select {{ columns | join(', ') }}, count(*) as n_rows
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{#- Values outside a closed (or, with inclusive=false, open) range. Nulls pass. -#}
{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
select {{ column_name }}
from {{ model }}
where
    false
    {%- if min_value is not none %}
    or {{ column_name }} {{ '<' if inclusive else '<=' }} {{ min_value }}
    {%- endif %}
    {%- if max_value is not none %}
    or {{ column_name }} {{ '>' if inclusive else '>=' }} {{ max_value }}
    {%- endif %}
{% endtest %}

{#- Rows for which a statement across columns is not true (null counts as not true). -#}
{% test expression_is_true(model, expression) %}
select *
from {{ model }}
where not coalesce({{ expression }}, false)
{% endtest %}

{#- Columns that hold a null, of those that never may: all in one pass, which a view is read for once. -#}
{% test never_null(model, columns) %}
with counted as (
    select
        count(*) as all_rows,
        {%- for column in columns %}
        count({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
)
{% for column in columns %}
select '{{ column }}' as column_name, all_rows - {{ column }} as n_rows from counted where {{ column }} < all_rows
{{ 'union all' if not loop.last }}
{%- endfor %}
{% endtest %}

{#- Columns that hold something at or after the clock's as_of: a leak of the future. Instants and local days. -#}
{% test nothing_later_than_as_of(model, instants=[], dates=[]) %}
with counted as (
    select
        {%- for column in instants %}
        count(case when {{ column }} >= {{ as_of() }} then 1 end) as {{ column }}{{ ',' if dates or not loop.last }}
        {%- endfor %}
        {%- for column in dates %}
        count(case when {{ column }} > {{ as_of_on() }} then 1 end) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }}
)
{% for column in instants + dates %}
select '{{ column }}' as column_name, {{ column }} as n_rows from counted where {{ column }} > 0
{{ 'union all' if not loop.last }}
{%- endfor %}
{% endtest %}

{#- A source whose newest row before as_of is older than vars.freshness_max_hours allows. Empty counts as fresh. -#}
{% test fresh_by_clock(model, column_name, source_name) %}
select max({{ column_name }}) as newest_at
from {{ model }}
where {{ column_name }} < {{ as_of() }}
having max({{ column_name }}) < {{ add_hours(as_of(), -1 * var('freshness_max_hours')[source_name]) }}
{% endtest %}

{#- What candidates of recommendations must keep, whoever made them; the columns and their types are the model's contract. -#}
{% test recommendation_contract(model) %}
with rankings as (
    select profile_id, placement, count(*) as n_rows, count(distinct rank) as n_ranks, min(rank) as first_rank, max(rank) as last_rank
    from {{ model }}
    group by profile_id, placement
)
select 'rank is not 1, 2, 3, ... of each profile and placement' as violation, count(*) as n_rows
from rankings
where first_rank <> 1 or last_rank <> n_rows or n_ranks <> n_rows
having count(*) > 0
union all
select 'score is not a finite number' as violation, count(*) as n_rows
from {{ model }}
where not {{ is_finite('score') }}
having count(*) > 0
union all
select 'as_of is in the future' as violation, count(*) as n_rows
from {{ model }}
where as_of > {{ as_of() }}
having count(*) > 0
{% endtest %}
