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

email_events as (
    select * from {{ ref('stg_email__events') }}
),

consent_events as (
    select * from {{ ref('stg_consent__events') }}
),

sighted as (
    {{ sightings('contacts', 'crm_contact', [
        ('contact_id', 'contact_id', 'created_at'), ('email', 'email', 'updated_at'), ('user_id', 'user_id', 'updated_at')]) }}
    union all
    {{ sightings('customers', 'shop_customer', [
        ('customer_id', 'customer_id', 'created_at'), ('email', 'email', 'updated_at'), ('user_id', 'user_id', 'updated_at')]) }}
    union all
    {{ sightings('signups', 'newsletter_signup', [
        ('email', 'email', 'submitted_at'), ('anonymous_id', 'anonymous_id', 'submitted_at')]) }}
    union all
    {{ sightings('orders', 'shop_order', [
        ('customer_id', 'customer_id', 'ordered_at'), ('user_id', 'user_id', 'ordered_at'), ('email', 'email', 'ordered_at')]) }}
    union all
    {{ sightings('web_events', 'web_event', [
        ('user_id', 'user_id', 'occurred_at'), ('anonymous_id', 'anonymous_id', 'occurred_at'), ('email', 'email', 'occurred_at')]) }}
    union all
    {{ sightings('email_events', 'email_event', [('email', 'email', 'occurred_at')]) }}
    union all
    {{ sightings('consent_events', 'consent_event', [('email', 'email', 'occurred_at')]) }}
),

final as (
    select
        sighted.identifier_type,
        sighted.identifier_value,
        sighted.source,
        min(sighted.seen_at) as first_seen_at,
        max(sighted.seen_at) as last_seen_at
    from sighted
    group by sighted.identifier_type, sighted.identifier_value, sighted.source
)

select * from final
