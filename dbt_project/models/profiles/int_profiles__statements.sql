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

stated as (
    select
        'contact_id' as identifier_type,
        contacts.contact_id as identifier_value,
        'crm_contact' as statement_source,
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
        contacts.loaded_at,
        contacts.load_id,
        contacts.row_number
    from contacts
    union all
    select
        'customer_id' as identifier_type,
        customers.customer_id as identifier_value,
        'shop_customer' as statement_source,
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
        customers.loaded_at,
        customers.load_id,
        customers.row_number
    from customers
    union all
    select
        'email' as identifier_type,
        signups.email as identifier_value,
        'newsletter_signup' as statement_source,
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
        signups.loaded_at,
        signups.load_id,
        signups.row_number
    from signups
),

-- a form is a statement of its own; of a record that is kept up to date the newest version speaks
versioned as (
    select
        stated.*,
        case
            when stated.statement_source = 'newsletter_signup' then 1
            else row_number() over (
                partition by stated.statement_source, stated.identifier_value
                order by
                    stated.stated_at desc nulls last,
                    stated.loaded_at desc nulls last,
                    stated.load_id desc,
                    stated.row_number desc
            )
        end as version_position
    from stated
),

final as (
    select
        {{ hash_key(['versioned.statement_source', 'versioned.load_id', 'versioned.row_number']) }} as statement_id,
        identifier_profiles.profile_id,
        versioned.statement_source,
        {{ usable_first_name('versioned.first_name') }} as first_name,
        versioned.last_name,
        versioned.gender,
        versioned.birth_year,
        versioned.city,
        versioned.country,
        versioned.time_zone,
        versioned.interests,
        versioned.source,
        versioned.signed_up_at,
        versioned.stated_at,
        versioned.version_position = 1 as is_current
    from versioned
    inner join identifier_profiles
        on
            versioned.identifier_type = identifier_profiles.identifier_type
            and versioned.identifier_value = identifier_profiles.identifier_value
)

select * from final
