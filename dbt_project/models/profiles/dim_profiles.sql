{%- set attributes = ['first_name', 'last_name', 'gender', 'birth_year', 'city', 'country', 'time_zone'] -%}

with identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

statements as (
    select * from {{ ref('int_profiles__statements') }}
),

profiles as (
    select
        identifiers.profile_id,
        min(identifiers.first_seen_at) as first_seen_at
    from identifiers
    group by identifiers.profile_id
),

-- the valid address most recently given in a source that the person filled in; others only where there is none
ranked_emails as (
    select
        identifiers.profile_id,
        identifiers.identifier_value as email,
        row_number() over (
            partition by identifiers.profile_id
            order by
                identifiers.last_trusted_at desc nulls last,
                identifiers.last_seen_at desc nulls last,
                identifiers.identifier_value asc
        ) as position
    from identifiers
    where identifiers.identifier_type = 'email'
),

ranked_users as (
    select
        identifiers.profile_id,
        identifiers.identifier_value as user_id,
        row_number() over (
            partition by identifiers.profile_id
            order by identifiers.last_seen_at desc nulls last, identifiers.identifier_value asc
        ) as position
    from identifiers
    where identifiers.identifier_type = 'user_id'
),

-- an account seen on the web alone is a sign-up too
accounts as (
    select
        identifiers.profile_id,
        min(identifiers.first_seen_at) as signed_up_at
    from identifiers
    where identifiers.identifier_type in ('user_id', 'customer_id', 'contact_id')
    group by identifiers.profile_id
),

signups as (
    select
        statements.profile_id,
        min(statements.signed_up_at) as signed_up_at
    from statements
    group by statements.profile_id
),

ranked_sources as (
    select
        statements.profile_id,
        statements.source,
        row_number() over (
            partition by statements.profile_id
            order by statements.signed_up_at asc nulls last, statements.statement_source asc, statements.statement_id asc
        ) as position
    from statements
    where statements.source is not null
),

-- per attribute the newest statement that has it
stated_values as (
    {%- for attribute in attributes %}
    select
        statements.profile_id,
        '{{ attribute }}' as attribute,
        cast(statements.{{ attribute }} as text) as value,
        statements.stated_at,
        statements.statement_source,
        statements.statement_id
    from statements
    where statements.{{ attribute }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

ranked_values as (
    select
        stated_values.*,
        row_number() over (
            partition by stated_values.profile_id, stated_values.attribute
            order by
                stated_values.stated_at desc nulls last,
                stated_values.statement_source asc,
                stated_values.statement_id asc
        ) as position
    from stated_values
),

newest_values as (
    select
        ranked_values.profile_id,
        {%- for attribute in attributes %}
        max(case when ranked_values.attribute = '{{ attribute }}' then ranked_values.value end) as {{ attribute }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from ranked_values
    where ranked_values.position = 1
    group by ranked_values.profile_id
),

final as (
    select
        profiles.profile_id,
        ranked_emails.email,
        ranked_users.user_id,
        newest_values.first_name,
        newest_values.last_name,
        newest_values.gender,
        cast(newest_values.birth_year as bigint) as birth_year,
        newest_values.city,
        newest_values.country,
        newest_values.time_zone,
        least(signups.signed_up_at, accounts.signed_up_at) as signed_up_at,
        profiles.first_seen_at,
        ranked_sources.source
    from profiles
    left join ranked_emails on profiles.profile_id = ranked_emails.profile_id and ranked_emails.position = 1
    left join ranked_users on profiles.profile_id = ranked_users.profile_id and ranked_users.position = 1
    left join accounts on profiles.profile_id = accounts.profile_id
    left join signups on profiles.profile_id = signups.profile_id
    left join ranked_sources on profiles.profile_id = ranked_sources.profile_id and ranked_sources.position = 1
    left join newest_values on profiles.profile_id = newest_values.profile_id
)

select * from final
