{#-
  The one definition of every profile feature, for any number of cut-offs at once.

  cutoffs: a relation with the columns `as_of` and `known_at` (timestamps): the clock for today's features, past instants for
  training and back-tests. Any instants: what is used happened before as_of and was known by known_at, as a build at that cut-off
  would have seen it: activity, orders, returns, cancellations, and who was who (macros activity_at, shop_lines_at, links_at).
  Returns one row per (cut-off, profile that was known by then). It is one query, so `( {{ '{{' }} profile_features(x) {{ '}}' }} )`
  may stand wherever a relation may.

  Behaviour on the web and in mail comes from the day rollup, orders from order lines, because a return changes an order
  that lies in the past.

  in_memory: whether days of activity, which are read twice, are written down rather than made twice: faster where they fit, as those
  of a few instants do.

  Counts are bigint, money numeric(18, 2), ages in whole local days integer, ratios double precision.
-#}
{% macro profile_features(cutoffs, in_memory=false) %}
{%- set activity = activity_measures() -%}
{%- set is_now = cutoffs | string == source('control', 'clock') | string -%}
{#- now reads less than the past does; in the graph, and in unit tests, both read the same -#}
{%- for relation in [
    'fct_web_events', 'fct_email_events', 'int_features__unsettled_orders', 'int_features__late_sightings', 'int_identity__edges',
    'int_identity__identifiers', 'int_identity__attachments', 'identity_registry',
] -%}{%- do ref(relation) -%}{%- endfor -%}

with cutoffs as (

    {{ cutoffs_at(cutoffs) | indent(4) }}

),

named_links as (

    {{ links_at('cutoffs', is_now) | indent(4) }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

sightings as (

    select * from {{ ref('int_identity__sightings') }}

),

-- from here on a number stands for a profile at a cut-off: written down once, since it is any number
known_profiles as materialized (

    select
        row_number() over () as profile_number,
        named_links.cutoff_number,
        named_links.profile_id,
        min(named_links.linked_at) as first_linked_at,
        max(case when named_links.is_resolved_again then 1 else 0 end) = 1 as is_resolved_again,
        count(*) > 1 as has_several_links
    from named_links
    group by named_links.cutoff_number, named_links.profile_id

),

links as (

    select
        known_profiles.profile_number,
        known_profiles.cutoff_number,
        known_profiles.is_resolved_again,
        known_profiles.has_several_links,
        named_links.identifier_type,
        named_links.identifier_value
    from named_links
    inner join known_profiles
        on
            named_links.cutoff_number = known_profiles.cutoff_number
            and named_links.profile_id = known_profiles.profile_id

),

-- an account, or a form: of those who are resolved again, as far as they were known
signups as (

    select
        links.profile_number,
        min(sightings.first_seen_at) as signed_up_at
    from links
    inner join cutoffs on links.cutoff_number = cutoffs.cutoff_number
    inner join sightings
        on
            links.identifier_type = sightings.identifier_type
            and links.identifier_value = sightings.identifier_value
            and cutoffs.known_at >= sightings.available_at
    where
        links.is_resolved_again
        and (
            links.identifier_type in ('user_id', 'customer_id', 'contact_id')
            or sightings.source = 'newsletter_signup'
        )
    group by links.profile_number

),

shop_lines as (

    {{ shop_lines_at('cutoffs') | indent(4) }}

),

activity as {{ written_down() if in_memory else in_place() }} (

    {{ activity_at('cutoffs', 'links', 'shop_lines', key='profile_number', is_now=is_now) | indent(4) }}

),

order_lines as (

    {{ profile_order_lines('cutoffs', 'links', 'shop_lines', key='profile_number') | indent(4) }}

),

purchases as (

    {{ purchases_at('cutoffs', 'links', order_lines='order_lines', key='profile_number') | indent(4) }}

),

-- the windows that hold a day, each a field of packed sums; all of history is the highest
windowed_activity as {{ in_place() }} (

    select
        activity.*,
        case
            {%- for days in feature_windows() %}
            when activity.activity_on > {{ add_days('cutoffs.as_of_on', -1 * days) }}
                then {{ packing_factor(range(loop.index0, 5)) }}
            {%- endfor %}
            else {{ packing_factor([4]) }}
        end as factor
    from activity
    inner join cutoffs on activity.cutoff_number = cutoffs.cutoff_number

),

packed_activity as (

    select
        windowed.profile_number,
        min(windowed.activity_on) as first_activity_on,
        sum(case when windowed.last_human_activity_at is not null then windowed.factor end) as active_days,
        {%- for name, measure in activity.items() %}
        sum({{ most_of_a_day('windowed.' ~ measure) }} * windowed.factor) as {{ name }},
        {%- endfor %}
        sum(windowed.n_demo_requests) as demo_requests,
        max(windowed.last_session_at) as last_session_at,
        max(windowed.last_human_email_at) as last_human_email_at,
        max(windowed.last_human_activity_at) as last_human_activity_at,
        max(case when windowed.last_human_activity_at is not null then windowed.activity_on end) as last_human_activity_on
    from windowed_activity as windowed
    group by windowed.profile_number

),

activity_features as {{ in_place() }} (

    select
        packed_activity.profile_number,
        packed_activity.first_activity_on,
        {%- for name in ['active_days'] + activity.keys() | list %}
        {%- for days in feature_windows() + ['lifetime'] %}
        {{ unpacked('packed_activity.' ~ name, loop.index0) }} as {{ name }}_{{ days if days == 'lifetime' else days ~ 'd' }},
        {%- endfor %}
        {%- endfor %}
        cast(packed_activity.demo_requests as bigint) as demo_requests_lifetime,
        packed_activity.last_session_at,
        packed_activity.last_human_email_at,
        packed_activity.last_human_activity_at,
        packed_activity.last_human_activity_on
    from packed_activity

),

-- a day on which a person was there under several names is one day: so many were counted too often
repeated_days as (

    select
        activity.cutoff_number,
        activity.profile_number,
        activity.activity_on,
        count(*) - 1 as n_too_many
    from activity
    inner join known_profiles on activity.profile_number = known_profiles.profile_number
    where activity.last_human_activity_at is not null and known_profiles.has_several_links
    group by activity.cutoff_number, activity.profile_number, activity.activity_on
    having count(*) > 1

),

repeated_features as (

    select
        repeated_days.profile_number,
        {%- for days in feature_windows() %}
        {{ sum_over('repeated_days.n_too_many', 'repeated_days.activity_on', days) }} as active_days_{{ days }}d,
        {%- endfor %}
        {{ sum_over('repeated_days.n_too_many', 'repeated_days.activity_on') }} as active_days_lifetime
    from repeated_days
    inner join cutoffs on repeated_days.cutoff_number = cutoffs.cutoff_number
    group by repeated_days.profile_number

),

purchase_features as (

    select
        purchases.profile_number,
        {%- for days in feature_windows() %}
        {{ sum_over('1', 'purchases.ordered_on', days) }} as orders_{{ days }}d,
        {{ sum_over('purchases.net_quantity', 'purchases.ordered_on', days) }} as items_{{ days }}d,
        {{ sum_over('purchases.net_revenue', 'purchases.ordered_on', days, 'numeric(18, 2)') }} as revenue_{{ days }}d,
        {%- endfor %}
        {{ sum_over('1', 'purchases.ordered_on') }} as orders_lifetime,
        {{ sum_over('purchases.net_quantity', 'purchases.ordered_on') }} as items_lifetime,
        {{ sum_over('purchases.net_revenue', 'purchases.ordered_on', none, 'numeric(18, 2)') }} as revenue_lifetime,
        min(purchases.ordered_at) as first_purchase_at,
        max(purchases.ordered_at) as last_purchase_at,
        min(purchases.ordered_on) as first_purchase_on,
        max(purchases.ordered_on) as last_purchase_on
    from purchases
    inner join cutoffs on purchases.cutoff_number = cutoffs.cutoff_number
    group by purchases.profile_number

),

return_features as (

    select
        order_lines.profile_number,
        cast(sum(order_lines.gross_revenue - order_lines.net_revenue) as numeric(18, 2)) as returned_revenue_lifetime
    from order_lines
    where order_lines.net_quantity < order_lines.quantity
    group by order_lines.profile_number

),

purchase_dates as (

    select
        purchases.profile_number,
        purchases.ordered_on,
        sum(purchases.net_revenue) as net_revenue
    from purchases
    group by purchases.profile_number, purchases.ordered_on

),

purchase_gaps as (

    select
        purchase_dates.profile_number,
        purchase_dates.net_revenue,
        {{ days_between(
            'lag(purchase_dates.ordered_on) over (partition by purchase_dates.profile_number '
            ~ 'order by purchase_dates.ordered_on asc nulls last)',
            'purchase_dates.ordered_on'
        ) }} as gap_days
    from purchase_dates

),

-- whole days, so that the sums are exact and both engines agree to the last bit
gap_features as (

    select
        purchase_gaps.profile_number,
        cast(count(*) as bigint) as purchase_days_lifetime,
        cast(count(purchase_gaps.gap_days) as double precision) as n_gaps,
        cast(sum(purchase_gaps.gap_days) as double precision) as gap_sum,
        cast(sum(purchase_gaps.gap_days * purchase_gaps.gap_days) as double precision) as gap_sum_of_squares,
        cast(max(purchase_gaps.gap_days) as integer) as max_days_between_purchases,
        cast(sum(case when purchase_gaps.gap_days is null then purchase_gaps.net_revenue end) as numeric(18, 2))
            as first_day_revenue
    from purchase_gaps
    group by purchase_gaps.profile_number

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
            ~ 'activity_features.first_activity_on, purchase_features.first_purchase_on, cutoffs.as_of_on)',
            'cutoffs.as_of_on'
        ) }} as tenure_days,
        {%- for days in feature_windows() %}
        coalesce(purchase_features.orders_{{ days }}d, 0) as orders_{{ days }}d,
        coalesce(purchase_features.items_{{ days }}d, 0) as items_{{ days }}d,
        cast(coalesce(purchase_features.revenue_{{ days }}d, 0) as numeric(18, 2)) as revenue_{{ days }}d,
        coalesce(activity_features.active_days_{{ days }}d, 0) - coalesce(repeated_features.active_days_{{ days }}d, 0)
            as active_days_{{ days }}d,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_{{ days }}d, 0) as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        coalesce(purchase_features.orders_lifetime, 0) as orders_lifetime,
        coalesce(purchase_features.items_lifetime, 0) as items_lifetime,
        cast(coalesce(purchase_features.revenue_lifetime, 0) as numeric(18, 2)) as revenue_lifetime,
        cast(coalesce(return_features.returned_revenue_lifetime, 0) as numeric(18, 2)) as returned_revenue_lifetime,
        coalesce(gap_features.purchase_days_lifetime, 0) as purchase_days_lifetime,
        coalesce(activity_features.active_days_lifetime, 0) - coalesce(repeated_features.active_days_lifetime, 0)
            as active_days_lifetime,
        {%- for name in activity %}
        coalesce(activity_features.{{ name }}_lifetime, 0) as {{ name }}_lifetime,
        {%- endfor %}
        coalesce(activity_features.demo_requests_lifetime, 0) as demo_requests_lifetime,
        purchase_features.first_purchase_at,
        purchase_features.last_purchase_at,
        {{ days_between('purchase_features.first_purchase_on', 'cutoffs.as_of_on') }} as days_since_first_purchase,
        {{ days_between('purchase_features.last_purchase_on', 'cutoffs.as_of_on') }} as recency_days,
        {{ money_per('purchase_features.revenue_lifetime', 'purchase_features.orders_lifetime') }} as average_order_value,
        gap_features.first_day_revenue,
        gap_features.gap_sum / nullif(gap_features.n_gaps, 0) as mean_days_between_purchases,
        sqrt(
            (gap_features.n_gaps * gap_features.gap_sum_of_squares - gap_features.gap_sum * gap_features.gap_sum)
            / nullif(gap_features.n_gaps * (gap_features.n_gaps - 1), 0)
        ) as stddev_days_between_purchases,
        gap_features.max_days_between_purchases,
        activity_features.last_session_at,
        activity_features.last_human_email_at,
        activity_features.last_human_activity_at,
        {{ days_between('activity_features.last_human_activity_on', 'cutoffs.as_of_on') }} as days_since_human_activity,
        {{ engagement_points() | indent(8) }} as engagement_score
    from known_profiles
    inner join cutoffs on known_profiles.cutoff_number = cutoffs.cutoff_number
    left join profiles on known_profiles.profile_id = profiles.profile_id
    left join signups on known_profiles.profile_number = signups.profile_number
    left join activity_features on known_profiles.profile_number = activity_features.profile_number
    left join repeated_features on known_profiles.profile_number = repeated_features.profile_number
    left join purchase_features on known_profiles.profile_number = purchase_features.profile_number
    left join return_features on known_profiles.profile_number = return_features.profile_number
    left join gap_features on known_profiles.profile_number = gap_features.profile_number

)

select * from final
{% endmacro %}


{#- Points that the last var engagement_window_days days earn (var engagement_points), from the features over them. -#}
{% macro engagement_points() -%}
    {%- set points = var('engagement_points') -%}
    {%- for points_of, measure in {
        'session': 'sessions', 'product_view': 'product_views', 'cart_add': 'cart_adds', 'human_open': 'human_opens',
        'human_click': 'human_clicks', 'order': 'orders',
    }.items() -%}
    {%- set features = 'purchase_features' if measure == 'orders' else 'activity_features' -%}
    {{ '+ ' if not loop.first }}coalesce({{ features }}.{{ feature(measure, var('engagement_window_days')) }}, 0) * {{ points[points_of] }}
    {% endfor -%}
{%- endmacro %}


{#-
    bigint: what a day's count counts for at most, 30,000: no person does more, and a year of such days fits the field that packed sums
    have for it.
-#}
{% macro most_of_a_day(measure) -%}
least({{ measure }}, 30000)
{%- endmacro %}
