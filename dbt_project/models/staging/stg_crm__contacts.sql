with source as (
    select * from {{ source('raw', 'crm_contacts') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select
        -- ids
        source.contact_id,
        {{ clean_text('source.user_id') }} as user_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        source.phone as raw_phone,
        case when phones.is_valid then phones.normalized_value end as phone,
        {{ clean_text('source.first_name') }} as first_name,
        {{ clean_text('source.last_name') }} as last_name,
        {{ clean_text('source.gender') }} as gender,
        {{ clean_text('source.city') }} as city,
        {{ clean_text('source.country') }} as country,
        {{ clean_text('source.time_zone') }} as time_zone,
        source.interests,
        {{ clean_text('source.source') }} as source,
        source.referrer,

        -- numerics
        source.birth_year,

        -- timestamps
        -- a record is no younger than any of its versions
        least(source.created_at, source.updated_at) as created_at,
        source.updated_at,
        {{ known_at_of('crm', 'source.updated_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    left join normalized as phones
        on phones.identifier_type = 'phone' and source.phone = phones.raw_value
    where {{ visible('crm', 'source.updated_at') }}
)

select * from final
