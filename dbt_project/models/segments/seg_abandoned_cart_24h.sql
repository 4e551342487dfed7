{%- set window = (var('abandoned_cart_until_hours') ~ ' hours', '24 hours') -%}
{{ segment(
    all_of=[
        last_time('Product Added', between=window),
        then_not('Product Added', 'Any Order', started_between=window),
    ],
) }}
