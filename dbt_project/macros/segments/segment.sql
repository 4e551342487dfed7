{#-
  A segment: the profiles that satisfy every condition of `all_of` and none of `none_of`.

  A condition is a query that returns profile_id, usually one of the macros in conditions.sql:

      {{ segment(
          all_of=[did_event('Product Viewed', last_hours=48)],
          none_of=[did_event('Product Added', last_hours=48)],
      ) }}

  Returns one row per member: profile_id, as_of.
-#}
{% macro segment(all_of, none_of=[]) -%}
with profiles as (

    select * from {{ ref('profile_features') }}

),
{% for condition in all_of %}
required_{{ loop.index }} as (

    {{ condition | indent(4) }}

),
{% endfor %}
{%- for condition in none_of %}
excluded_{{ loop.index }} as (

    {{ condition | indent(4) }}

),
{% endfor %}
final as (

    select
        profiles.profile_id,
        profiles.as_of
    from profiles
    where
        true
        {%- for condition in all_of %}
        and exists (select 1 from required_{{ loop.index }} where required_{{ loop.index }}.profile_id = profiles.profile_id)
        {%- endfor %}
        {%- for condition in none_of %}
        and not exists (select 1 from excluded_{{ loop.index }} where excluded_{{ loop.index }}.profile_id = profiles.profile_id)
        {%- endfor %}

)

select * from final
{%- endmacro %}


{#-
  Names of all segment models (without folder), from which segment_memberships is built. dbt must know a model's parents
  when it parses, before it knows which models there are; so the list comes from the environment (`mailwright` and its
  Dagster assets set MAILWRIGHT_SEGMENTS from the files in models/segments) and, in a bare dbt shell, from this default.
  In either case the list is compared with the graph, and a segment that is missing stops the run.
-#}
{% macro segment_models() -%}
    {%- set listed = env_var('MAILWRIGHT_SEGMENTS', 'seg_abandoned_cart_24h seg_at_risk seg_frequent_buyers_30d seg_high_order_value seg_interested_in_topic seg_lapsed seg_new_york_repeat_category seg_no_session_7d seg_qualified_leads seg_recent_buyers_opening seg_viewed_not_carted_48h seg_vip_engaged').split() -%}
    {%- if execute -%}
        {%- set found = [] -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.path.startswith('segments/seg_') -%}
            {%- do found.append(node.name) -%}
        {%- endfor -%}
        {%- if found | sort | list != listed | sort | list -%}
            {{ exceptions.raise_compiler_error(
                "The segments in models/segments are " ~ found | sort | join(' ') ~ ", but segment_memberships was told of "
                ~ listed | sort | join(' ') ~ ". Run through `mailwright build`, or: export MAILWRIGHT_SEGMENTS='"
                ~ found | sort | join(' ') ~ "'"
            ) }}
        {%- endif -%}
    {%- endif -%}
    {{- return(listed | sort | list) -}}
{%- endmacro %}
