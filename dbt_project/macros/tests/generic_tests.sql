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

{#- Rows that happened at or after the clock's as_of: a leak of the future. `kind` is 'instant' or 'date'. -#}
{% test nothing_later_than_as_of(model, column_name, kind='instant') %}
select {{ column_name }}
from {{ model }}
{%- if kind == 'date' %}
where {{ column_name }} > {{ as_of_on() }}
{%- else %}
where {{ column_name }} >= {{ as_of() }}
{%- endif %}
{% endtest %}

{#- A source whose newest row before as_of is older than vars.freshness_max_hours allows. Empty counts as fresh. -#}
{% test fresh_by_clock(model, column_name, source_name) %}
select max({{ column_name }}) as newest_at
from {{ model }}
where {{ column_name }} < {{ as_of() }}
having max({{ column_name }}) < {{ add_hours(as_of(), -1 * var('freshness_max_hours')[source_name]) }}
{% endtest %}
