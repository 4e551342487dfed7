{#-
  The one definition of every profile feature, for any number of cut-offs at once.

  cutoffs: a relation with the columns `as_of` and `known_at` (timestamps): the clock for today's features, past instants for
  training and back-tests. Any instants: what is used happened before as_of and was known by known_at, as a build at that cut-off
  would have seen it: activity, orders, returns, cancellations, and who was who (macros activity_at, shop_lines_at, links_at).
  Returns one row per (cut-off, profile that was known by then). It is one query, so `( {{ '{{' }} profile_features(x) {{ '}}' }} )`
  may stand wherever a relation may.

  Behaviour on the web and in mail comes from the day rollup, orders from order lines, because a return changes an order
  that lies in the past.

  Counts are bigint, money numeric(18, 2), ages in whole local days integer, ratios double precision.
-#}
{% macro profile_features(cutoffs) %}
{%- set activity = activity_measures() -%}
{%- set score_days = var('engagement_window_days') -%}

with cutoffs as (

    {{ cutoffs_at(cutoffs) | indent(4) }}

),

links as (

    {{ links_at('cutoffs') | indent(4) }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

sightings as (

    select * from {{ ref('int_identity__sightings') }}

),

known_profiles as (

    select
        links.cutoff_number,
        links.profile_id,
        min(links.linked_at) as first_linked_at,
        max(case when links.is_resolved_again then 1 else 0 end) = 1 as is_resolved_again
    from links
    group by links.cutoff_number, links.profile_id

),

-- an account, or a form: of those who are resolved again, as far as they were known
signups as (

    select
        links.cutoff_number,
        links.profile_id,
        min(sightings.first_seen_at) as signed_up_at
    from known_profiles
    inner join links
        on
            known_profiles.cutoff_number = links.cutoff_number
            and known_profiles.profile_id = links.profile_id
    inner join cutoffs on links.cutoff_number = cutoffs.cutoff_number
    inner join sightings
        on
            links.identifier_type = sightings.identifier_type
            and links.identifier_value = sightings.identifier_value
            and cutoffs.known_at >= sightings.available_at
    where
        known_profiles.is_resolved_again
        and (
            links.identifier_type in ('user_id', 'customer_id', 'contact_id')
            or sightings.source = 'newsletter_signup'
        )
    group by links.cutoff_number, links.profile_id

),

activity as (

    {{ activity_at('cutoffs', 'links') | indent(4) }}

),

shop_lines as (

    {{ shop_lines_at('cutoffs') | indent(4) }}

),

order_lines as (

    {{ profile_order_lines('cutoffs', 'links', 'shop_lines') | indent(4) }}

),

purchases as (

    {{ purchases_at('cutoffs', 'links', order_lines='order_lines') | indent(4) }}

),

activity_features as (

    select
        activity.cutoff_number,
        activity.profile_id,
        min(activity.activity_on) as first_activity_on,
        {%- for days in feature_windows() %}
        {%- for name, measure in activity.items() %}
        {{ sum_over('activity.' ~ measure, 'activity.activity_on', days) }} as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        {%- for name, measure in activity.items() %}
        {{ sum_over('activity.' ~ measure, 'activity.activity_on') }} as {{ name }}_lifetime,
        {%- endfor %}
        {{ sum_over('activity.n_demo_requests', 'activity.activity_on') }} as demo_requests_lifetime,
        max(activity.last_session_at) as last_session_at,
        max(activity.last_human_email_at) as last_human_email_at,
        {{ sum_over(engagement_points(), 'activity.activity_on', score_days) }} as activity_points
    from activity
    inner join cutoffs on activity.cutoff_number = cutoffs.cutoff_number
    group by activity.cutoff_number, activity.profile_id

),

-- whoever ordered, even if it was cancelled later or sent back, or brought something back, was there
human_days as (

    select
        activity.cutoff_number,
        activity.profile_id,
        activity.activity_on,
        greatest(activity.last_session_at, activity.last_human_email_at) as last_at
    from activity
    where activity.last_session_at is not null or activity.last_human_email_at is not null

    union all

    select
        links.cutoff_number,
        links.profile_id,
        shop_lines.ordered_on as activity_on,
        shop_lines.ordered_at as last_at
    from shop_lines
    inner join links
        on
            shop_lines.cutoff_number = links.cutoff_number
            and shop_lines.identifier_type = links.identifier_type
            and shop_lines.identifier_value = links.identifier_value

),

distinct_human_days as (

    select
        human_days.cutoff_number,
        human_days.profile_id,
        human_days.activity_on,
        max(human_days.last_at) as last_at
    from human_days
    group by human_days.cutoff_number, human_days.profile_id, human_days.activity_on

),

human_features as (

    select
        distinct_human_days.cutoff_number,
        distinct_human_days.profile_id,
        {%- for days in feature_windows() %}
        {{ sum_over('1', 'distinct_human_days.activity_on', days) }} as active_days_{{ days }}d,
        {%- endfor %}
        {{ sum_over('1', 'distinct_human_days.activity_on') }} as active_days_lifetime,
        min(distinct_human_days.activity_on) as first_activity_on,
        max(distinct_human_days.activity_on) as last_activity_on,
        max(distinct_human_days.last_at) as last_at
    from distinct_human_days
    inner join cutoffs on distinct_human_days.cutoff_number = cutoffs.cutoff_number
    group by distinct_human_days.cutoff_number, distinct_human_days.profile_id

),

purchase_features as (

    select
        purchases.cutoff_number,
        purchases.profile_id,
        {%- for days in feature_windows() %}
        {{ sum_over('1', 'purchases.ordered_on', days) }} as orders_{{ days }}d,
        {{ sum_over('purchases.net_quantity', 'purchases.ordered_on', days) }} as items_{{ days }}d,
        {{ sum_over('purchases.net_revenue', 'purchases.ordered_on', days, 'numeric(18, 2)') }} as revenue_{{ days }}d,
        {%- endfor %}
        {{ sum_over('1', 'purchases.ordered_on') }} as orders_lifetime,
        {{ sum_over('purchases.net_quantity', 'purchases.ordered_on') }} as items_lifetime,
        {{ sum_over('purchases.net_revenue', 'purchases.ordered_on', none, 'numeric(18, 2)') }} as revenue_lifetime,
        {{ sum_over('1', 'purchases.ordered_on', score_days) }} as orders_scored,
        min(purchases.ordered_at) as first_purchase_at,
        max(purchases.ordered_at) as last_purchase_at,
        min(purchases.ordered_on) as first_purchase_on,
        max(purchases.ordered_on) as last_purchase_on
    from purchases
    inner join cutoffs on purchases.cutoff_number = cutoffs.cutoff_number
    group by purchases.cutoff_number, purchases.profile_id

),

return_features as (

    select
        order_lines.cutoff_number,
        order_lines.profile_id,
        cast(sum(order_lines.gross_revenue - order_lines.net_revenue) as numeric(18, 2)) as returned_revenue_lifetime
    from order_lines
    where order_lines.net_quantity < order_lines.quantity
    group by order_lines.cutoff_number, order_lines.profile_id

),

purchase_dates as (

    select distinct
        purchases.cutoff_number,
        purchases.profile_id,
        purchases.ordered_on
    from purchases

),

purchase_gaps as (

    select
        purchase_dates.cutoff_number,
        purchase_dates.profile_id,
        {{ days_between(
            'lag(purchase_dates.ordered_on) over (partition by purchase_dates.cutoff_number, purchase_dates.profile_id '
            ~ 'order by purchase_dates.ordered_on asc nulls last)',
            'purchase_dates.ordered_on'
        ) }} as gap_days
    from purchase_dates

),

-- whole days, so that the sums are exact and both engines agree to the last bit
gap_features as (

    select
        purchase_gaps.cutoff_number,
        purchase_gaps.profile_id,
        cast(count(*) as bigint) as purchase_days_lifetime,
        cast(count(purchase_gaps.gap_days) as double precision) as n_gaps,
        cast(sum(purchase_gaps.gap_days) as double precision) as gap_sum,
        cast(sum(purchase_gaps.gap_days * purchase_gaps.gap_days) as double precision) as gap_sum_of_squares,
        cast(max(purchase_gaps.gap_days) as integer) as max_days_between_purchases
    from purchase_gaps
    group by purchase_gaps.cutoff_number, purchase_gaps.profile_id

),

final as (

    select
        known_profiles.profile_id,
        cutoffs.as_of,
        cutoffs.known_at,
        cutoffs.as_of_on,
        coalesce(
            case when known_profiles.is_resolved_again then signups.signed_up_at else profiles.signed_up_at end
            < cutoffs.as_of,
            false
        ) as has_signed_up,
        {{ days_between(
            'least(' ~ local_date('known_profiles.first_linked_at') ~ ', '
            ~ 'activity_features.first_activity_on, human_features.first_activity_on, cutoffs.as_of_on)',
            'cutoffs.as_of_on'
        ) }} as tenure_days,
        {%- for days in feature_windows() %}
        coalesce(purchase_features.orders_{{ days }}d, 0) as orders_{{ days }}d,
        coalesce(purchase_features.items_{{ days }}d, 0) as items_{{ days }}d,
        cast(coalesce(purchase_features.revenue_{{ days }}d, 0) as numeric(18, 2)) as revenue_{{ days }}d,
        coalesce(human_features.active_days_{{ days }}d, 0) as active_days_{{ days }}d,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_{{ days }}d, 0) as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        coalesce(purchase_features.orders_lifetime, 0) as orders_lifetime,
        coalesce(purchase_features.items_lifetime, 0) as items_lifetime,
        cast(coalesce(purchase_features.revenue_lifetime, 0) as numeric(18, 2)) as revenue_lifetime,
        cast(coalesce(return_features.returned_revenue_lifetime, 0) as numeric(18, 2)) as returned_revenue_lifetime,
        coalesce(gap_features.purchase_days_lifetime, 0) as purchase_days_lifetime,
        coalesce(human_features.active_days_lifetime, 0) as active_days_lifetime,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_lifetime, 0) as {{ name }}_lifetime,
        {%- endfor %}
        coalesce(activity_features.demo_requests_lifetime, 0) as demo_requests_lifetime,
        purchase_features.first_purchase_at,
        purchase_features.last_purchase_at,
        {{ days_between('purchase_features.first_purchase_on', 'cutoffs.as_of_on') }} as days_since_first_purchase,
        {{ days_between('purchase_features.last_purchase_on', 'cutoffs.as_of_on') }} as recency_days,
        {{ money_per('purchase_features.revenue_lifetime', 'purchase_features.orders_lifetime') }} as average_order_value,
        gap_features.gap_sum / nullif(gap_features.n_gaps, 0) as mean_days_between_purchases,
        sqrt(
            (gap_features.n_gaps * gap_features.gap_sum_of_squares - gap_features.gap_sum * gap_features.gap_sum)
            / nullif(gap_features.n_gaps * (gap_features.n_gaps - 1), 0)
        ) as stddev_days_between_purchases,
        gap_features.max_days_between_purchases,
        activity_features.last_session_at,
        activity_features.last_human_email_at,
        human_features.last_at as last_human_activity_at,
        {{ days_between('human_features.last_activity_on', 'cutoffs.as_of_on') }} as days_since_human_activity,
        coalesce(activity_features.activity_points, 0)
        + coalesce(purchase_features.orders_scored, 0) * {{ var('engagement_points')['order'] }} as engagement_score
    from known_profiles
    inner join cutoffs on known_profiles.cutoff_number = cutoffs.cutoff_number
    left join profiles on known_profiles.profile_id = profiles.profile_id
    left join signups
        on
            known_profiles.profile_id = signups.profile_id
            and known_profiles.cutoff_number = signups.cutoff_number
    left join activity_features
        on
            known_profiles.profile_id = activity_features.profile_id
            and known_profiles.cutoff_number = activity_features.cutoff_number
    left join human_features
        on
            known_profiles.profile_id = human_features.profile_id
            and known_profiles.cutoff_number = human_features.cutoff_number
    left join purchase_features
        on
            known_profiles.profile_id = purchase_features.profile_id
            and known_profiles.cutoff_number = purchase_features.cutoff_number
    left join return_features
        on
            known_profiles.profile_id = return_features.profile_id
            and known_profiles.cutoff_number = return_features.cutoff_number
    left join gap_features
        on
            known_profiles.profile_id = gap_features.profile_id
            and known_profiles.cutoff_number = gap_features.cutoff_number

)

select * from final
{% endmacro %}


{#- Points that one day of web and mail activity earns (var engagement_points); orders are added apart, because a
    return takes them back. -#}
{% macro engagement_points() -%}
    {%- set points = var('engagement_points') -%}
    activity.n_sessions * {{ points['session'] }}
    + activity.n_product_views * {{ points['product_view'] }}
    + activity.n_cart_adds * {{ points['cart_add'] }}
    + activity.n_human_opens * {{ points['human_open'] }}
    + activity.n_human_clicks * {{ points['human_click'] }}
{%- endmacro %}
