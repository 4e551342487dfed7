{#-
  Score 1..5 of an expression over all rows: least(5, 1 + floor(5 * percent_rank)). Equal values get equal scores, and
  every score is reachable (`ntile` splits ties at random; 1 + floor(5 * cume_dist) never gives 1 to a large tie).
  reverse: a smaller value is better (recency in days). The multiples of 1/5 are exact in doubles after the product,
  so both engines agree. Returns `integer` on every engine.
-#}
{% macro rfm_score(expression, reverse=false) -%}
    cast(least(5, 1 + floor(
        5 * percent_rank() over (order by {{ expression }} {{ 'desc' if reverse else 'asc' }} nulls last)
    )) as integer)
{%- endmacro %}
