{#-
    numeric(18,2): a non-negative amount of money divided by a count, rounded half up to whole cents; null for a zero count.
    DuckDB divides decimals as doubles and PostgreSQL as numeric, so 0.005 may fall to either side. Here whole cents are
    divided: a quotient that is no whole number lies further from one than a double's error, so floor is exact on both.
-#}
{%- macro money_per(amount, count) -%}
    cast(
        cast(floor(
            cast(200 * {{ amount }} + {{ count }} as double precision)
            / nullif(cast(2 * {{ count }} as double precision), 0)
        ) as bigint) * 0.01
        as numeric(18, 2)
    )
{%- endmacro -%}
