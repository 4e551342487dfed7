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

email_events as (
    select * from {{ ref('stg_email__events') }}
),

consent_events as (
    select * from {{ ref('stg_consent__events') }}
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

sighted as (
    {{ stated_sightings() }}
    union all
    {{ sightings('contact_names', 'crm_contact', [('phone_and_name', 'updated_at')]) }}
    union all
    {{ sightings('customer_names', 'shop_customer', [('phone_and_name', 'updated_at')]) }}
),

grouped as (
    select
        sighted.identifier_type,
        sighted.identifier_value,
        sighted.source,
        max(sighted.mailbox) as mailbox,
        max(case when sighted.is_role then 1 else 0 end) = 1 as is_role,
        max(case when sighted.is_disposable then 1 else 0 end) = 1 as is_disposable,
        min(sighted.seen_at) as first_seen_at,
        max(sighted.seen_at) as last_seen_at,
        min(sighted.available_at) as available_at,
        count(*) as n_seen
    from sighted
    group by sighted.identifier_type, sighted.identifier_value, sighted.source
),

-- provider rules are on, and somebody wrote one mailbox in several ways: it is an identifier of its own
respelled as (
    select distinct grouped.mailbox
    from grouped
    where grouped.mailbox <> grouped.identifier_value
),

spelled as (
    select grouped.*
    from grouped
    inner join respelled on grouped.mailbox = respelled.mailbox
),

shared_mailboxes as (
    select spelled.mailbox
    from spelled
    group by spelled.mailbox
    having count(distinct spelled.identifier_value) > 1
),

mailboxes as (
    select
        'mailbox' as identifier_type,
        spelled.mailbox as identifier_value,
        spelled.source,
        max(case when spelled.is_role then 1 else 0 end) = 1 as is_role,
        max(case when spelled.is_disposable then 1 else 0 end) = 1 as is_disposable,
        min(spelled.first_seen_at) as first_seen_at,
        max(spelled.last_seen_at) as last_seen_at,
        min(spelled.available_at) as available_at,
        cast(sum(spelled.n_seen) as bigint) as n_seen
    from spelled
    inner join shared_mailboxes on spelled.mailbox = shared_mailboxes.mailbox
    group by spelled.mailbox, spelled.source
),

seen as (
    select
        grouped.identifier_type,
        grouped.identifier_value,
        shared_mailboxes.mailbox,
        grouped.source,
        grouped.is_role,
        grouped.is_disposable,
        grouped.first_seen_at,
        grouped.last_seen_at,
        grouped.available_at,
        grouped.n_seen
    from grouped
    left join shared_mailboxes on grouped.mailbox = shared_mailboxes.mailbox
    union all
    select
        mailboxes.identifier_type,
        mailboxes.identifier_value,
        cast(null as text) as mailbox,
        mailboxes.source,
        mailboxes.is_role,
        mailboxes.is_disposable,
        mailboxes.first_seen_at,
        mailboxes.last_seen_at,
        mailboxes.available_at,
        mailboxes.n_seen
    from mailboxes
),

final as (
    select
        {{ node_key('seen.identifier_type', 'seen.identifier_value') }} as node_key,
        seen.identifier_type,
        seen.identifier_value,
        seen.mailbox,
        seen.source,
        seen.is_role,
        seen.is_disposable,
        seen.first_seen_at,
        seen.last_seen_at,
        seen.available_at,
        seen.n_seen
    from seen
)

select * from final
