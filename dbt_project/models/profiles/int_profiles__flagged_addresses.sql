{%- set relations = ['contacts', 'customers', 'signups', 'orders', 'web_events', 'email_events', 'consent_events'] -%}

with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

customers as (
    select * from {{ ref('stg_shop__customers') }}
),

signups as (
    select * from {{ ref('stg_newsletter__signups') }}
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

flagged as (
    {%- for relation in relations %}
    select
        {{ relation }}.email,
        {{ relation }}.is_email_role,
        {{ relation }}.is_email_disposable
    from {{ relation }}
    where {{ relation }}.email is not null and ({{ relation }}.is_email_role or {{ relation }}.is_email_disposable)
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        flagged.email,
        max(case when flagged.is_email_role then 1 else 0 end) = 1 as is_role,
        max(case when flagged.is_email_disposable then 1 else 0 end) = 1 as is_disposable
    from flagged
    group by flagged.email
)

select * from final
