with statements as (
    select * from {{ ref('int_profiles__statements') }}
),

split as (
    select
        statements.profile_id,
        statements.stated_at,
        {{ split_to_rows('statements.interests') }} as raw_interest
    from statements
    where statements.interests is not null
),

cleaned as (
    select
        split.profile_id,
        split.stated_at,
        lower({{ clean_text('split.raw_interest') }}) as interest
    from split
),

final as (
    select
        cleaned.profile_id,
        cleaned.interest,
        min(cleaned.stated_at) as stated_at
    from cleaned
    where cleaned.interest is not null
    group by cleaned.profile_id, cleaned.interest
)

select * from final
