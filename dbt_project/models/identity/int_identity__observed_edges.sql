with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

signups as (
    select * from {{ ref('stg_newsletter__signups') }}
),

customers as (
    select * from {{ ref('stg_shop__customers') }}
),

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

web_events as (
    select * from {{ ref('stg_web__events') }}
),

-- an order does not tie its buyer to the address typed at checkout: it may be the address of who gets the gift
observed as (
    {{ observed_edges('contacts', 'crm_contact', [
        ('contact_id', 'email', 'updated_at'), ('contact_id', 'user_id', 'updated_at'), ('contact_id', 'phone', 'updated_at')]) }}
    union all
    {{ observed_edges('customers', 'shop_customer', [
        ('customer_id', 'email', 'updated_at'), ('customer_id', 'user_id', 'updated_at'), ('customer_id', 'phone', 'updated_at'),
        ('customer_id', 'loyalty_card', 'updated_at')]) }}
    union all
    {{ observed_edges('orders', 'shop_order', [
        ('customer_id', 'user_id', 'ordered_at'), ('customer_id', 'loyalty_card', 'ordered_at'),
        ('loyalty_card', 'user_id', 'ordered_at')]) }}
    union all
    {{ observed_edges('signups', 'newsletter_signup', [('anonymous_id', 'email', 'submitted_at')]) }}
    union all
    {{ observed_edges('web_events', 'web_event', [
        ('email', 'user_id', 'occurred_at'), ('anonymous_id', 'user_id', 'occurred_at'), ('anonymous_id', 'email', 'occurred_at'),
        ('anonymous_id', 'device_id', 'occurred_at'), ('device_id', 'user_id', 'occurred_at')]) }}
),

final as (
    select
        observed.left_type,
        observed.left_value,
        observed.right_type,
        observed.right_value,
        observed.source,
        min(observed.seen_at) as first_seen_at,
        max(observed.seen_at) as last_seen_at,
        count(*) as n_seen
    from observed
    group by observed.left_type, observed.left_value, observed.right_type, observed.right_value, observed.source
)

select * from final
