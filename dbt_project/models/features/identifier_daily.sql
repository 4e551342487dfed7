with orders as (

    select * from {{ ref('fct_orders') }}

),

lines as (

    select * from {{ ref('int_orders__lines') }}

),

web_events as (

    select * from {{ ref('fct_web_events') }}

),

email_events as (

    select * from {{ ref('fct_email_events') }}

),

-- a session counts once, on the day and for the identifier of its first event, so that days add up
numbered_web_events as (

    select
        *,
        case
            when session_id is null then 0
            when row_number() over (
                partition by session_id
                order by occurred_at asc nulls last, web_event_id asc nulls last
            ) = 1 then 1
            else 0
        end as starts_session
    from web_events

),

web_days as (

    select
        identifier_type,
        identifier_value,
        occurred_on as activity_on,
        sum(starts_session) as n_sessions,
        sum(case when event_name = 'page' then 1 else 0 end) as n_page_views,
        sum(case when event_name = 'Product Viewed' then 1 else 0 end) as n_product_views,
        sum(case when event_name = 'Product Added' then 1 else 0 end) as n_cart_adds,
        sum(case when event_name = 'Checkout Started' then 1 else 0 end) as n_checkouts,
        sum(case when event_name = 'Demo Requested' then 1 else 0 end) as n_demo_requests,
        max(occurred_at) as last_session_at,
        max(occurred_at) as last_human_activity_at,
        max(known_at) as known_through
    from numbered_web_events
    where identifier_value is not null
    group by identifier_type, identifier_value, occurred_on

),

email_days as (

    select
        identifier_type,
        identifier_value,
        occurred_on as activity_on,
        sum(case when event_type = 'sent' then 1 else 0 end) as n_emails_sent,
        sum(case when event_type = 'delivered' then 1 else 0 end) as n_emails_delivered,
        sum(case when event_type = 'open' and not is_machine then 1 else 0 end) as n_human_opens,
        sum(case when event_type = 'click' and not is_machine then 1 else 0 end) as n_human_clicks,
        sum(case when event_type = 'open' and is_machine then 1 else 0 end) as n_machine_opens,
        sum(case when event_type = 'click' and is_machine then 1 else 0 end) as n_machine_clicks,
        sum(case when event_type = 'unsubscribe' then 1 else 0 end) as n_unsubscribes,
        max(case when event_type in ('open', 'click') and not is_machine then occurred_at end) as last_human_email_at,
        max(known_at) as known_through
    from email_events
    where identifier_value is not null
    group by identifier_type, identifier_value, occurred_on

),

order_days as (

    select
        identifier_type,
        identifier_value,
        ordered_on as activity_on,
        sum(case when is_purchase then 1 else 0 end) as n_orders,
        sum(case when is_purchase then net_quantity else 0 end) as n_items,
        sum(case when is_purchase then net_revenue else 0 end) as net_revenue,
        -- whoever ordered was there, even if all of it was sent back later
        max(ordered_at) as last_human_activity_at,
        max(ordered_at) as known_through
    from orders
    where identifier_value is not null
    group by identifier_type, identifier_value, ordered_on

),

-- whoever placed an order that was cancelled later, or brought something back, was there too
other_shop_days as (

    select
        identifier_type,
        identifier_value,
        ordered_on as activity_on,
        max(ordered_at) as last_human_activity_at,
        max(ordered_at) as known_through
    from lines
    where
        identifier_value is not null
        and (
            (order_type = 'sale' and excluded_reason = 'cancelled_order')
            or (order_type = 'return' and excluded_reason is null)
        )
    group by identifier_type, identifier_value, ordered_on

),

all_days as (

    select
        identifier_type,
        identifier_value,
        activity_on,
        n_sessions,
        n_page_views,
        n_product_views,
        n_cart_adds,
        n_checkouts,
        n_demo_requests,
        0 as n_orders,
        0 as n_items,
        0 as net_revenue,
        0 as n_emails_sent,
        0 as n_emails_delivered,
        0 as n_human_opens,
        0 as n_human_clicks,
        0 as n_machine_opens,
        0 as n_machine_clicks,
        0 as n_unsubscribes,
        last_session_at,
        cast(null as timestamp) as last_human_email_at,
        last_human_activity_at,
        known_through
    from web_days

    union all

    select
        identifier_type,
        identifier_value,
        activity_on,
        0 as n_sessions,
        0 as n_page_views,
        0 as n_product_views,
        0 as n_cart_adds,
        0 as n_checkouts,
        0 as n_demo_requests,
        0 as n_orders,
        0 as n_items,
        0 as net_revenue,
        n_emails_sent,
        n_emails_delivered,
        n_human_opens,
        n_human_clicks,
        n_machine_opens,
        n_machine_clicks,
        n_unsubscribes,
        cast(null as timestamp) as last_session_at,
        last_human_email_at,
        last_human_email_at as last_human_activity_at,
        known_through
    from email_days

    union all

    select
        identifier_type,
        identifier_value,
        activity_on,
        0 as n_sessions,
        0 as n_page_views,
        0 as n_product_views,
        0 as n_cart_adds,
        0 as n_checkouts,
        0 as n_demo_requests,
        n_orders,
        n_items,
        net_revenue,
        0 as n_emails_sent,
        0 as n_emails_delivered,
        0 as n_human_opens,
        0 as n_human_clicks,
        0 as n_machine_opens,
        0 as n_machine_clicks,
        0 as n_unsubscribes,
        cast(null as timestamp) as last_session_at,
        cast(null as timestamp) as last_human_email_at,
        last_human_activity_at,
        known_through
    from order_days

    union all

    select
        identifier_type,
        identifier_value,
        activity_on,
        0 as n_sessions,
        0 as n_page_views,
        0 as n_product_views,
        0 as n_cart_adds,
        0 as n_checkouts,
        0 as n_demo_requests,
        0 as n_orders,
        0 as n_items,
        0 as net_revenue,
        0 as n_emails_sent,
        0 as n_emails_delivered,
        0 as n_human_opens,
        0 as n_human_clicks,
        0 as n_machine_opens,
        0 as n_machine_clicks,
        0 as n_unsubscribes,
        cast(null as timestamp) as last_session_at,
        cast(null as timestamp) as last_human_email_at,
        last_human_activity_at,
        known_through
    from other_shop_days

),

final as (

    select
        identifier_type,
        identifier_value,
        activity_on,
        {%- for measure in daily_measures() %}
        cast(sum({{ measure }}) as {{ 'numeric(18, 2)' if measure == 'net_revenue' else 'bigint' }}) as {{ measure }},
        {%- endfor %}
        {%- for instant in daily_instants() %}
        max({{ instant }}) as {{ instant }},
        {%- endfor %}
        max(known_through) as known_through
    from all_days
    group by identifier_type, identifier_value, activity_on

)

select * from final
