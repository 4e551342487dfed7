with statements as (
    select * from {{ ref('int_profiles__statements') }}
),

split as (
    select
        statements.profile_id,
        statements.stated_at,
        statements.is_current,
        {{ split_to_rows('statements.interests') }} as raw_interest
    from statements
    where statements.interests is not null
),

cleaned as (
    select
        split.profile_id,
        split.stated_at,
        split.is_current,
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
    -- what a newer version of the record no longer says is no longer meant
    having max(case when cleaned.is_current then 1 else 0 end) = 1
)

select * from final
