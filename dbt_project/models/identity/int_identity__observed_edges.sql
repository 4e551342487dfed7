with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

named_phones as (
    select * from {{ ref('int_identity__named_phones') }}
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

sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

contact_names as (
    select named_phones.*
    from named_phones
    where named_phones.source = 'crm_contact'
),

customer_names as (
    select named_phones.*
    from named_phones
    where named_phones.source = 'shop_customer'
),

-- an order does not tie its buyer's account to the address typed at checkout: it may be the address of who gets the gift;
-- at the till, the card and the address for the receipt are of one person
observed as (
    {{ observed_edges('contacts', 'crm_contact', [
        ('contact_id', 'email', 'updated_at'), ('contact_id', 'user_id', 'updated_at'), ('contact_id', 'phone', 'updated_at')]) }}
    union all
    {{ observed_edges('customers', 'shop_customer', [
        ('customer_id', 'email', 'updated_at'), ('customer_id', 'user_id', 'updated_at'), ('customer_id', 'phone', 'updated_at'),
        ('customer_id', 'loyalty_card', 'updated_at')]) }}
    union all
    -- the telephone is beside what is made of it, so that a limit on the one is met by the other
    {{ observed_edges('contact_names', 'crm_contact', [
        ('contact_id', 'phone_and_name', 'updated_at'), ('phone', 'phone_and_name', 'updated_at')]) }}
    union all
    {{ observed_edges('customer_names', 'shop_customer', [
        ('customer_id', 'phone_and_name', 'updated_at'), ('phone', 'phone_and_name', 'updated_at')]) }}
    union all
    {{ observed_edges('orders', 'shop_order', [
        ('customer_id', 'user_id', 'ordered_at'), ('customer_id', 'loyalty_card', 'ordered_at'),
        ('loyalty_card', 'user_id', 'ordered_at'), ('email', 'loyalty_card', 'ordered_at')]) }}
    union all
    {{ observed_edges('signups', 'newsletter_signup', [('anonymous_id', 'email', 'submitted_at')]) }}
    union all
    {{ observed_edges('web_events', 'web_event', [
        ('email', 'user_id', 'occurred_at'), ('anonymous_id', 'user_id', 'occurred_at'), ('anonymous_id', 'email', 'occurred_at'),
        ('anonymous_id', 'device_id', 'occurred_at'), ('device_id', 'user_id', 'occurred_at')]) }}
),

grouped as (
    select
        observed.left_type,
        observed.left_value,
        observed.right_type,
        observed.right_value,
        observed.source,
        min(observed.seen_at) as first_seen_at,
        max(observed.seen_at) as last_seen_at,
        min(observed.available_at) as available_at,
        count(*) as n_seen
    from observed
    group by observed.left_type, observed.left_value, observed.right_type, observed.right_value, observed.source
),

-- an address and the mailbox that it is one of several spellings of: known by a rule, so it is the weakest of edges
spelled as (
    select
        sightings.identifier_type as left_type,
        sightings.identifier_value as left_value,
        'mailbox' as right_type,
        sightings.mailbox as right_value,
        'provider_rules' as source,
        min(sightings.first_seen_at) as first_seen_at,
        max(sightings.last_seen_at) as last_seen_at,
        min(sightings.available_at) as available_at,
        1 as n_seen
    from sightings
    where sightings.mailbox is not null
    group by sightings.identifier_type, sightings.identifier_value, sightings.mailbox
),

seen as (
    select * from grouped
    union all
    select * from spelled
),

final as (
    select
        {{ node_key('seen.left_type', 'seen.left_value') }} as left_key,
        {{ node_key('seen.right_type', 'seen.right_value') }} as right_key,
        seen.left_type,
        seen.left_value,
        seen.right_type,
        seen.right_value,
        seen.source,
        seen.first_seen_at,
        seen.last_seen_at,
        seen.available_at,
        seen.n_seen
    from seen
)

select * from final
