{#- The number of rows, if it is not the expected one. -#}
{% test row_count(model, expected) %}
select count(*) as n_rows
from {{ model }}
having count(*) != {{ expected }}
{% endtest %}

{#- The numbers of rows of two relations, if they differ: none is left out, none is added. -#}
{% test same_row_count(model, as_model) %}
select
    counted.n_rows,
    compared.n_rows as n_rows_compared
from (select count(*) as n_rows from {{ model }}) as counted
cross join (select count(*) as n_rows from {{ as_model }}) as compared
where counted.n_rows != compared.n_rows
{% endtest %}
