with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

customers as (
    select * from {{ ref('stg_shop__customers') }}
),

stated as (
    select
        'crm_contact' as source,
        contacts.contact_id,
        cast(null as text) as customer_id,
        contacts.phone,
        contacts.email,
        {{ folded_name('contacts.first_name') }} as first_name,
        {{ folded_name('contacts.last_name') }} as last_name,
        contacts.updated_at,
        contacts.known_at,
        contacts.load_id,
        contacts.row_number
    from contacts
    where contacts.phone is not null
    union all
    select
        'shop_customer' as source,
        cast(null as text) as contact_id,
        customers.customer_id,
        customers.phone,
        customers.email,
        {{ folded_name('customers.first_name') }} as first_name,
        {{ folded_name('customers.last_name') }} as last_name,
        customers.updated_at,
        customers.known_at,
        customers.load_id,
        customers.row_number
    from customers
    where customers.phone is not null
),

telling as (
    select stated.*
    from stated
    where
        {{ is_telling_name('stated.first_name', 'stated.email') }}
        and {{ is_telling_name('stated.last_name', 'stated.email') }}
        -- JP, MK: initials without their dots
        and not {{ regex_matches('stated.first_name', '^[bcdfghjklmnpqrstvwxz][bcdfghjklmnpqrstvwxz]$') }}
        -- one word in both fields, often the family's alone
        and stated.first_name <> stated.last_name
),

final as (
    select
        telling.source,
        telling.contact_id,
        telling.customer_id,
        telling.phone,
        -- a hash joins as well as the words do, and no name gets into what is permanent (identity_registry), backed up or listed;
        -- `identity explain` takes the words and hashes them, and shows the telephone beside the hash
        {{ dbt.hash("telling.phone || ' ' || telling.first_name || ' ' || telling.last_name") }} as phone_and_name,
        telling.updated_at,
        telling.known_at,
        telling.load_id,
        telling.row_number
    from telling
)

select * from final
