{#-
    Groups of people that recommendations are reported by: {dimension: SQL of the group}. `people` has profile_id, country, source and
    first_purchase_at; new is who bought first within var new_customer_days before `as_of`.
-#}
{%- macro people_groups(people, as_of) -%}
    {%- set first_purchase_at = people ~ '.first_purchase_at' -%}
    {{- return({
        'all': "'all'",
        'country': "coalesce(" ~ people ~ ".country, 'unknown')",
        'source': "coalesce(" ~ people ~ ".source, 'unknown')",
        'customer': "case when " ~ first_purchase_at ~ " is null then 'never_bought' when " ~ first_purchase_at ~ " >= "
            ~ add_hours(as_of, -24 * var('new_customer_days')) ~ " then 'new' else 'old' end",
    }) -}}
{%- endmacro -%}
