{#-
  The one definition of every profile feature, for any number of cut-offs at once.

  cutoffs: a relation with a column `as_of` (timestamp): the clock for today's features, past instants for training.
  Returns one row per (cut-off, profile known before it). What is used lies before the cut-off: activity, returns,
  cancellations, and the identifiers that were known by then to be this profile's (an anonymous view that only a later purchase ties
  to a person is not used). Behaviour on the web and in mail comes from the day rollup; so a cut-off in the past must
  be a local midnight (int_training__cutoffs sees to it), while the clock may be any instant. Orders come from order
  lines, because a return changes an order that lies in the past.

  Counts are bigint, money numeric(18, 2), ages in whole local days integer, ratios double precision.
-#}
{% macro profile_features(cutoffs) %}
{%- set activity = {
    'sessions': 'n_sessions',
    'page_views': 'n_page_views',
    'product_views': 'n_product_views',
    'cart_adds': 'n_cart_adds',
    'emails_delivered': 'n_emails_delivered',
    'human_opens': 'n_human_opens',
    'human_clicks': 'n_human_clicks',
} -%}
{%- set score_days = var('engagement_window_days') -%}

with cutoffs as (

    select
        as_of,
        {{ local_date(add_microseconds('as_of', -1)) }} as as_of_on
    from {{ cutoffs }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

links as (

    select * from {{ ref('int_identity__identifier_profiles') }}

),

identifier_days as (

    select * from {{ ref('identifier_daily') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

cancelled_sales as (

    select * from {{ ref('int_orders__cancelled_sales') }}

),

return_matches as (

    select * from {{ ref('int_orders__return_matches') }}

),

known_links as (

    select
        cutoffs.as_of,
        cutoffs.as_of_on,
        links.profile_id,
        links.identifier_type,
        links.identifier_value,
        links.linked_at
    from cutoffs
    inner join links
        on cutoffs.as_of > links.linked_at

),

known_profiles as (

    select
        as_of,
        as_of_on,
        profile_id,
        min(linked_at) as first_linked_at
    from known_links
    group by as_of, as_of_on, profile_id

),

profile_days as (

    select
        known_links.as_of,
        known_links.as_of_on,
        known_links.profile_id,
        identifier_days.activity_on,
        {%- for measure in activity.values() %}
        sum(identifier_days.{{ measure }}) as {{ measure }},
        {%- endfor %}
        sum(identifier_days.n_demo_requests) as n_demo_requests,
        {%- for instant in daily_instants() %}
        max(identifier_days.{{ instant }}) as {{ instant }}{{ ',' if not loop.last }}
        {%- endfor %}
    from known_links
    inner join identifier_days
        on
            known_links.identifier_type = identifier_days.identifier_type
            and known_links.identifier_value = identifier_days.identifier_value
            and known_links.as_of_on >= identifier_days.activity_on
    group by known_links.as_of, known_links.as_of_on, known_links.profile_id, identifier_days.activity_on

),

activity_features as (

    select
        as_of,
        profile_id,
        min(activity_on) as first_activity_on,
        {%- for days in feature_windows() %}
        {{ sum_over('case when last_human_activity_at is not null then 1 else 0 end', 'activity_on', days) }}
            as active_days_{{ days }}d,
        {%- for name, measure in activity.items() %}
        {{ sum_over(measure, 'activity_on', days) }} as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        {{ sum_over('case when last_human_activity_at is not null then 1 else 0 end', 'activity_on') }}
            as active_days_lifetime,
        {%- for name, measure in activity.items() %}
        {{ sum_over(measure, 'activity_on') }} as {{ name }}_lifetime,
        {%- endfor %}
        {{ sum_over('n_demo_requests', 'activity_on') }} as demo_requests_lifetime,
        max(last_session_at) as last_session_at,
        max(last_human_email_at) as last_human_email_at,
        max(last_human_activity_at) as last_human_activity_at,
        max(case when last_human_activity_at is not null then activity_on end) as last_human_activity_on,
        {{ sum_over(engagement_points(), 'activity_on', score_days) }} as activity_points
    from profile_days
    group by as_of, profile_id

),

placed_lines as (

    select
        order_line_id,
        order_id,
        identifier_type,
        identifier_value,
        ordered_at,
        ordered_on,
        cast(null as timestamp) as cancelled_at,
        quantity,
        unit_price,
        gross_revenue
    from order_lines

    union all

    select
        order_line_id,
        order_id,
        identifier_type,
        identifier_value,
        ordered_at,
        ordered_on,
        cancelled_at,
        quantity,
        unit_price,
        gross_revenue
    from cancelled_sales

),

-- a return that lies after the cut-off has not happened yet
returns_at_cutoff as (

    select
        cutoffs.as_of,
        return_matches.order_line_id,
        sum(return_matches.quantity) as quantity
    from cutoffs
    inner join return_matches
        on cutoffs.as_of > return_matches.returned_at
    group by cutoffs.as_of, return_matches.order_line_id

),

lines_at_cutoff as (

    select
        known_links.as_of,
        known_links.as_of_on,
        known_links.profile_id,
        placed_lines.order_id,
        placed_lines.ordered_at,
        placed_lines.ordered_on,
        placed_lines.unit_price,
        placed_lines.gross_revenue,
        cast(placed_lines.quantity - coalesce(returns_at_cutoff.quantity, 0) as bigint) as net_quantity
    from known_links
    inner join placed_lines
        on
            known_links.identifier_type = placed_lines.identifier_type
            and known_links.identifier_value = placed_lines.identifier_value
            and known_links.as_of > placed_lines.ordered_at
    left join returns_at_cutoff
        on
            known_links.as_of = returns_at_cutoff.as_of
            and placed_lines.order_line_id = returns_at_cutoff.order_line_id
    -- a cancellation that lies after the cut-off has not happened yet
    where placed_lines.cancelled_at is null or placed_lines.cancelled_at >= known_links.as_of

),

orders_at_cutoff as (

    select
        as_of,
        as_of_on,
        profile_id,
        order_id,
        min(ordered_at) as ordered_at,
        min(ordered_on) as ordered_on,
        sum(net_quantity) as net_quantity,
        sum(cast(net_quantity * unit_price as numeric(18, 2))) as net_revenue,
        sum(gross_revenue) as gross_revenue
    from lines_at_cutoff
    group by as_of, as_of_on, profile_id, order_id

),

-- an order that was sent back whole is no purchase
purchases as (

    select * from orders_at_cutoff
    where net_quantity > 0

),

purchase_features as (

    select
        as_of,
        profile_id,
        {%- for days in feature_windows() %}
        {{ sum_over('1', 'ordered_on', days) }} as orders_{{ days }}d,
        {{ sum_over('net_quantity', 'ordered_on', days) }} as items_{{ days }}d,
        {{ sum_over('net_revenue', 'ordered_on', days, 'numeric(18, 2)') }} as revenue_{{ days }}d,
        {%- endfor %}
        {{ sum_over('1', 'ordered_on') }} as orders_lifetime,
        {{ sum_over('net_quantity', 'ordered_on') }} as items_lifetime,
        {{ sum_over('net_revenue', 'ordered_on', none, 'numeric(18, 2)') }} as revenue_lifetime,
        {{ sum_over('1', 'ordered_on', score_days) }} as orders_scored,
        cast(count(distinct ordered_on) as bigint) as purchase_days_lifetime,
        min(ordered_at) as first_purchase_at,
        max(ordered_at) as last_purchase_at,
        min(ordered_on) as first_purchase_on,
        max(ordered_on) as last_purchase_on
    from purchases
    group by as_of, profile_id

),

return_features as (

    select
        as_of,
        profile_id,
        cast(sum(gross_revenue - net_revenue) as numeric(18, 2)) as returned_revenue_lifetime
    from orders_at_cutoff
    group by as_of, profile_id

),

purchase_dates as (

    select distinct
        as_of,
        profile_id,
        ordered_on
    from purchases

),

purchase_gaps as (

    select
        as_of,
        profile_id,
        {{ days_between(
            'lag(ordered_on) over (partition by as_of, profile_id order by ordered_on asc nulls last)', 'ordered_on'
        ) }} as gap_days
    from purchase_dates

),

-- whole days, so that the sums are exact and both engines agree to the last bit
gap_features as (

    select
        as_of,
        profile_id,
        cast(count(gap_days) as double precision) as n_gaps,
        cast(sum(gap_days) as double precision) as gap_sum,
        cast(sum(gap_days * gap_days) as double precision) as gap_sum_of_squares,
        cast(max(gap_days) as integer) as max_days_between_purchases
    from purchase_gaps
    group by as_of, profile_id

),

final as (

    select
        known_profiles.profile_id,
        known_profiles.as_of,
        known_profiles.as_of_on,
        coalesce(profiles.signed_up_at < known_profiles.as_of, false) as has_signed_up,
        {{ days_between(
            'least(' ~ local_date('known_profiles.first_linked_at') ~ ', '
            ~ 'coalesce(activity_features.first_activity_on, known_profiles.as_of_on), '
            ~ 'coalesce(purchase_features.first_purchase_on, known_profiles.as_of_on))',
            'known_profiles.as_of_on'
        ) }} as tenure_days,
        {%- for days in feature_windows() %}
        coalesce(purchase_features.orders_{{ days }}d, 0) as orders_{{ days }}d,
        coalesce(purchase_features.items_{{ days }}d, 0) as items_{{ days }}d,
        cast(coalesce(purchase_features.revenue_{{ days }}d, 0) as numeric(18, 2)) as revenue_{{ days }}d,
        coalesce(activity_features.active_days_{{ days }}d, 0) as active_days_{{ days }}d,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_{{ days }}d, 0) as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        coalesce(purchase_features.orders_lifetime, 0) as orders_lifetime,
        coalesce(purchase_features.items_lifetime, 0) as items_lifetime,
        cast(coalesce(purchase_features.revenue_lifetime, 0) as numeric(18, 2)) as revenue_lifetime,
        cast(coalesce(return_features.returned_revenue_lifetime, 0) as numeric(18, 2)) as returned_revenue_lifetime,
        coalesce(purchase_features.purchase_days_lifetime, 0) as purchase_days_lifetime,
        coalesce(activity_features.active_days_lifetime, 0) as active_days_lifetime,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_lifetime, 0) as {{ name }}_lifetime,
        {%- endfor %}
        coalesce(activity_features.demo_requests_lifetime, 0) as demo_requests_lifetime,
        purchase_features.first_purchase_at,
        purchase_features.last_purchase_at,
        {{ days_between('purchase_features.first_purchase_on', 'known_profiles.as_of_on') }}
            as days_since_first_purchase,
        {{ days_between('purchase_features.last_purchase_on', 'known_profiles.as_of_on') }} as recency_days,
        {{ money_per('purchase_features.revenue_lifetime', 'purchase_features.orders_lifetime') }} as average_order_value,
        gap_features.gap_sum / nullif(gap_features.n_gaps, 0) as mean_days_between_purchases,
        sqrt(
            (gap_features.n_gaps * gap_features.gap_sum_of_squares - gap_features.gap_sum * gap_features.gap_sum)
            / nullif(gap_features.n_gaps * (gap_features.n_gaps - 1), 0)
        ) as stddev_days_between_purchases,
        gap_features.max_days_between_purchases,
        activity_features.last_session_at,
        activity_features.last_human_email_at,
        activity_features.last_human_activity_at,
        {{ days_between('activity_features.last_human_activity_on', 'known_profiles.as_of_on') }}
            as days_since_human_activity,
        coalesce(activity_features.activity_points, 0)
        + coalesce(purchase_features.orders_scored, 0) * {{ var('engagement_points')['order'] }} as engagement_score
    from known_profiles
    inner join profiles
        on known_profiles.profile_id = profiles.profile_id
    left join activity_features
        on
            known_profiles.profile_id = activity_features.profile_id
            and known_profiles.as_of = activity_features.as_of
    left join purchase_features
        on
            known_profiles.profile_id = purchase_features.profile_id
            and known_profiles.as_of = purchase_features.as_of
    left join return_features
        on
            known_profiles.profile_id = return_features.profile_id
            and known_profiles.as_of = return_features.as_of
    left join gap_features
        on
            known_profiles.profile_id = gap_features.profile_id
            and known_profiles.as_of = gap_features.as_of

)

select * from final
{% endmacro %}


{#- Points that one day of web and mail activity earns (var engagement_points); orders are added apart, because a
    return takes them back. -#}
{% macro engagement_points() -%}
    {%- set points = var('engagement_points') -%}
    n_sessions * {{ points['session'] }}
    + n_product_views * {{ points['product_view'] }}
    + n_cart_adds * {{ points['cart_add'] }}
    + n_human_opens * {{ points['human_open'] }}
    + n_human_clicks * {{ points['human_click'] }}
{%- endmacro %}
