with source as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

final as (
    select distinct
        -- text
        source.normalized_value as email,
        source.identity_value as mailbox
    from source
    where source.identifier_type = 'email' and source.is_valid
)

select * from final
