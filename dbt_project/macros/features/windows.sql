{#- The day windows that every windowed feature has. The contracts name each column, so this is no var. -#}
{% macro feature_windows() %}
    {{- return([7, 30, 90, 365]) -}}
{% endmacro %}


{#- Name of a windowed feature, e.g. feature('orders', 90) -> orders_90d. Fails at compile time on a window that the
    features do not have, so that a changed threshold var cannot silently point at nothing. -#}
{% macro feature(measure, days) %}
    {%- if days | int not in feature_windows() -%}
        {{ exceptions.raise_compiler_error(
            "There is no feature '" ~ measure ~ "' over " ~ days ~ " days; the windows are "
            ~ feature_windows() | join(', ') ~ " days. Choose one of them for the var."
        ) }}
    {%- endif -%}
    {{- return(measure ~ '_' ~ days ~ 'd') -}}
{% endmacro %}


{#-
    Sum of a measure over the last `days` local days of the cut-off (all of history without `days`), 0 where there is none; the
    relation `cutoffs` (macro cutoffs_at) is joined.
-#}
{% macro sum_over(measure, day_column, days=none, type='bigint') -%}
    {%- if days is none -%}
        cast(coalesce(sum({{ measure }}), 0) as {{ type }})
    {%- else -%}
        cast(coalesce(sum(
            case when {{ day_column }} > {{ add_days('cutoffs.as_of_on', -1 * days) }} then {{ measure }} end
        ), 0) as {{ type }})
    {%- endif -%}
{%- endmacro %}


{#- Counted features, by the measure of identifier_daily that they sum. -#}
{% macro activity_measures() %}
    {{- return({
        'sessions': 'n_sessions',
        'page_views': 'n_page_views',
        'product_views': 'n_product_views',
        'cart_adds': 'n_cart_adds',
        'emails_delivered': 'n_emails_delivered',
        'human_opens': 'n_human_opens',
        'human_clicks': 'n_human_clicks',
    }) -}}
{% endmacro %}
