{#-
  RFM of every buyer, as of one or many cut-offs (vars: rfm; docs/lifecycle.md).

  features: a relation or CTE with the columns of profile_features; one row per (as_of, profile_id). Returns one row per cut-off
  and profile with a purchase in its window: profile_id, as_of, recency_days, frequency, monetary, the three scores (integer
  1..5), rfm_score (text, three digits), rfm_value (double precision 0..1) and rfm_cell.

  Either method is four cut points per dimension and a comparison with them. Those of `percentile` are the values at which
  1 + floor(5 * percent_rank) among the buyers of the same cut-off rises, found over the distinct values: three sorts of all
  buyers, and the memory for them, are saved, equal values get equal scores, and in whole numbers both engines agree
  (`ntile` splits ties at random; 1 + floor(5 * cume_dist) never gives 1 to a large tie).
-#}
{% macro rfm_scores(features) %}
{%- set rfm = rfm_settings() -%}
{%- set dimensions = {'recency': 'recency_days', 'frequency': 'frequency', 'monetary': 'monetary'} -%}

with buyers as (

    select
        features.profile_id,
        features.as_of,
        features.recency_days,
        features.{{ feature('orders', rfm['window_days']) }} as frequency,
        features.{{ feature('revenue', rfm['window_days']) }} as monetary
    from {{ features }} as features
    where features.{{ feature('orders', rfm['window_days']) }} > 0

),

cells as (

    select * from {{ ref('rfm_cells') }}

),

named_cells as (

    select
        recency_score,
        frequency_score,
        monetary_score,
        rfm_cell,
        {% for name in dimensions -%}
        cast({{ name }}_score as {{ dbt.type_string() }}){{ ' || ' if not loop.last }}
        {%- endfor %} as rfm_score,
        {{ ratio(rfm_weighted(rfm['weights']), '4 * (' ~ rfm['weights'].values() | join(' + ') ~ ')') }} as rfm_value
    from cells

),
{%- if rfm['method'] == 'percentile' %}
{%- for name, column in dimensions.items() %}

{{ name }}_values as (

    select
        as_of,
        {{ column }},
        count(*) as n_buyers
    from buyers
    group by as_of, {{ column }}

),

{{ name }}_ranked as (

    select
        as_of,
        {{ column }},
        sum(n_buyers) over (
            partition by as_of
            order by {{ column }} {{ 'desc' if name == 'recency' else 'asc' }} nulls last
            rows between unbounded preceding and current row
        ) - n_buyers as n_worse,
        sum(n_buyers) over (partition by as_of) as n_all
    from {{ name }}_values

),

{{ name }}_cuts as (

    select
        as_of,
        {%- for score in [2, 3, 4, 5] %}
        {{ 'max' if name == 'recency' else 'min' }}(
            case when n_all > 1 and 5 * n_worse >= {{ score - 1 }} * (n_all - 1) then {{ column }} end
        ) as {{ name }}_from_{{ score }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ name }}_ranked
    group by as_of

),
{%- endfor %}
{%- endif %}

scored as (

    select
        buyers.profile_id,
        buyers.as_of,
        buyers.recency_days,
        buyers.frequency,
        buyers.monetary,
        {%- for name, column in dimensions.items() %}
        case
            {%- for score in [5, 4, 3, 2] %}
            {%- set begins = name ~ '_cuts.' ~ name ~ '_from_' ~ score if rfm['method'] == 'percentile'
                else rfm['thresholds'][column][score - 2] %}
            when buyers.{{ column }} {{ '<=' if name == 'recency' else '>=' }} {{ begins }} then {{ score }}
            {%- endfor %}
            else 1
        end as {{ name }}_score{{ ',' if not loop.last }}
        {%- endfor %}
    from buyers
    {%- for name in dimensions if rfm['method'] == 'percentile' %}
    inner join {{ name }}_cuts
        on buyers.as_of = {{ name }}_cuts.as_of
    {%- endfor %}

),

final as (

    select
        scored.profile_id,
        scored.as_of,
        scored.recency_days,
        scored.frequency,
        scored.monetary,
        scored.recency_score,
        scored.frequency_score,
        scored.monetary_score,
        named_cells.rfm_score,
        named_cells.rfm_value,
        named_cells.rfm_cell
    from scored
    inner join named_cells
        on
            scored.recency_score = named_cells.recency_score
            and scored.frequency_score = named_cells.frequency_score
            and scored.monetary_score = named_cells.monetary_score

)

select * from final
{% endmacro %}


{#- Sum of the weighted scores, each counted from 0. -#}
{% macro rfm_weighted(weights) -%}
    {%- for name, weight in weights.items() -%}
        {{ weight }} * ({{ name }}_score - 1){{ ' + ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{#- The var rfm, whole and sound; anything else stops the run with what is wrong. -#}
{% macro rfm_settings() %}
    {%- set rfm = var('rfm') -%}
    {%- set wrong = [] -%}
    {%- if rfm['method'] not in ['percentile', 'fixed'] -%}
        {%- do wrong.append("method is '" ~ rfm['method'] ~ "': percentile or fixed") -%}
    {%- endif -%}
    {%- if rfm['weights'].keys() | sort | list != ['frequency', 'monetary', 'recency']
        or rfm['weights'].values() | min < 0 or rfm['weights'].values() | sum <= 0 -%}
        {%- do wrong.append("weights need recency, frequency and monetary, none below zero and not all zero") -%}
    {%- endif -%}
    {%- for column in ['recency_days', 'frequency', 'monetary'] if rfm['method'] == 'fixed' -%}
        {%- set points = rfm['thresholds'][column] -%}
        {%- if points | length != 4 or points | sort(reverse=column == 'recency_days') | unique | list != points -%}
            {%- do wrong.append(
                "thresholds." ~ column ~ " need four numbers, "
                ~ ('falling' if column == 'recency_days' else 'rising') ~ ": where scores 2, 3, 4 and 5 begin"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if wrong -%}
        {{ exceptions.raise_compiler_error("vars.rfm in dbt_project.yml: " ~ wrong | join('; ') ~ ".") }}
    {%- endif -%}
    {{- return(rfm) -}}
{% endmacro %}
