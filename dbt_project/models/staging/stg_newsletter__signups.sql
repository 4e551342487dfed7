with source as (
    select * from {{ source('raw', 'newsletter_signups') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select
        -- ids
        source.signup_id,
        {{ clean_text('source.anonymous_id') }} as anonymous_id,
        source.form_id,

        -- text
        case when normalized.is_valid then normalized.normalized_value end as email,
        coalesce(normalized.is_valid, false) as is_email_valid,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        {{ clean_text('source.first_name') }} as first_name,
        source.interests,
        {{ clean_text('source.hidden_source') }} as source,
        source.hidden_referrer as referrer,
        source.page_url,
        source.wording_version,

        -- booleans
        coalesce(source.consent_newsletter, false) as is_newsletter_ticked,
        coalesce(source.consent_profiling, false) as is_profiling_ticked,

        -- timestamps
        source.submitted_at,
        {{ known_at_of('newsletter', 'source.submitted_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number
    from source
    left join normalized
        on normalized.identifier_type = 'email' and source.email = normalized.raw_value
    where {{ visible('newsletter', 'source.submitted_at') }}
)

select * from final
