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

linked as (
    {{ identity_links('contacts', 'crm_contact', [
        ('contact_id', 'email', 'updated_at', 'strong'), ('contact_id', 'user_id', 'updated_at', 'strong')]) }}
    union all
    {{ identity_links('customers', 'shop_customer', [
        ('customer_id', 'email', 'updated_at', 'strong'), ('customer_id', 'user_id', 'updated_at', 'strong')]) }}
    union all
    {{ identity_links('orders', 'shop_order', [('customer_id', 'user_id', 'ordered_at', 'strong')]) }}
    union all
    {{ identity_links('signups', 'newsletter_signup', [('anonymous_id', 'email', 'submitted_at', 'weak')]) }}
    union all
    {{ identity_links('web_events', 'web_event', [
        ('user_id', 'email', 'occurred_at', 'strong'), ('anonymous_id', 'user_id', 'occurred_at', 'weak'),
        ('anonymous_id', 'email', 'occurred_at', 'weak')]) }}
),

final as (
    select
        linked.left_type,
        linked.left_value,
        linked.right_type,
        linked.right_value,
        linked.strength,
        linked.source,
        min(linked.linked_at) as linked_at
    from linked
    group by
        linked.left_type, linked.left_value, linked.right_type, linked.right_value, linked.strength, linked.source
)

select * from final
