with contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

customers as (
    select * from {{ ref('stg_shop__customers') }}
),

signups as (
    select * from {{ ref('stg_newsletter__signups') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

placeholder_names as (
    select * from {{ ref('placeholder_names') }}
),

stated as (
    select
        'contact_id' as identifier_type,
        contacts.contact_id as identifier_value,
        'crm_contact' as statement_source,
        contacts.email,
        contacts.first_name,
        contacts.last_name,
        contacts.gender,
        contacts.birth_year,
        contacts.city,
        contacts.country,
        contacts.time_zone,
        contacts.interests,
        contacts.source,
        contacts.created_at as signed_up_at,
        contacts.updated_at as stated_at,
        contacts.load_id,
        contacts.row_number
    from contacts
    union all
    select
        'customer_id' as identifier_type,
        customers.customer_id as identifier_value,
        'shop_customer' as statement_source,
        customers.email,
        customers.first_name,
        customers.last_name,
        cast(null as text) as gender,
        cast(null as bigint) as birth_year,
        customers.city,
        customers.country,
        cast(null as text) as time_zone,
        cast(null as text) as interests,
        cast(null as text) as source,
        customers.created_at as signed_up_at,
        customers.updated_at as stated_at,
        customers.load_id,
        customers.row_number
    from customers
    union all
    select
        'email' as identifier_type,
        signups.email as identifier_value,
        'newsletter_signup' as statement_source,
        signups.email,
        signups.first_name,
        cast(null as text) as last_name,
        cast(null as text) as gender,
        cast(null as bigint) as birth_year,
        cast(null as text) as city,
        cast(null as text) as country,
        cast(null as text) as time_zone,
        signups.interests,
        signups.source,
        signups.submitted_at as signed_up_at,
        signups.submitted_at as stated_at,
        signups.load_id,
        signups.row_number
    from signups
),

final as (
    select
        {{ hash_key(['stated.statement_source', 'stated.load_id', 'stated.row_number']) }} as statement_id,
        identifier_profiles.profile_id,
        stated.statement_source,
        {{ usable_first_name('stated.first_name', 'stated.email', 'placeholder_names.name is not null') }} as first_name,
        stated.last_name,
        stated.gender,
        stated.birth_year,
        stated.city,
        stated.country,
        stated.time_zone,
        stated.interests,
        stated.source,
        stated.signed_up_at,
        stated.stated_at
    from stated
    inner join identifier_profiles
        on
            stated.identifier_type = identifier_profiles.identifier_type
            and stated.identifier_value = identifier_profiles.identifier_value
    left join placeholder_names on upper(stated.first_name) = placeholder_names.name
)

select * from final
