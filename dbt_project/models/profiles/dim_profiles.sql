{%- set rules = survivorship_rules() -%}
{%- set identifying = identifier_attributes() -%}

with identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

statements as (
    select * from {{ ref('int_profiles__statements') }}
),

sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

profiles as (
    select
        identifiers.profile_id,
        min(identifiers.first_seen_at) as first_seen_at
    from identifiers
    group by identifiers.profile_id
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

-- per attribute every value that was stated or seen, by which source and when
candidates as (
    {%- for attribute in rules if attribute not in identifying %}
    select
        statements.profile_id,
        '{{ attribute }}' as attribute,
        cast(statements.{{ attribute }} as text) as value,
        statements.statement_source as source,
        statements.stated_at as observed_at,
        -- a record says what its newest version says, however often it was edited
        case when statements.is_current then 1 else 0 end as n_times,
        false as is_role,
        false as is_disposable,
        cast(null as timestamp) as last_seen_at,
        cast(null as text) as identifier_value,
        statements.statement_id
    from statements
    where statements.{{ attribute }} is not null
    union all
    {%- endfor %}
    select
        identifiers.profile_id,
        identifiers.identifier_type as attribute,
        identifiers.identifier_value as value,
        sightings.source,
        sightings.last_seen_at as observed_at,
        sightings.n_seen as n_times,
        coalesce(identifiers.is_role, false) as is_role,
        coalesce(identifiers.is_disposable, false) as is_disposable,
        identifiers.last_seen_at,
        identifiers.identifier_value,
        cast(null as text) as statement_id
    from identifiers
    inner join sightings
        on
            identifiers.identifier_type = sightings.identifier_type
            and identifiers.identifier_value = sightings.identifier_value
    where {{ one_of('identifiers.identifier_type', identifying) }}
),

weighed as (
    select
        candidates.*,
        case when candidates.is_role or candidates.is_disposable then 1 else 0 end as is_last_resort,
        {{ trust_rank('candidates.attribute', 'candidates.source', rules) }} as trust,
        {{ frequency('candidates', rules) }} as n_times_in_all
    from candidates
),

-- the address of an office, or one to throw away, only where there is no other; then by the attribute's rule
ranked_values as (
    select
        weighed.*,
        row_number() over (
            partition by weighed.profile_id, weighed.attribute
            order by
                weighed.is_last_resort asc,
                weighed.trust asc,
                weighed.n_times_in_all desc,
                weighed.observed_at desc nulls last,
                weighed.last_seen_at desc nulls last,
                weighed.identifier_value asc,
                weighed.source asc,
                weighed.statement_id asc
        ) as position
    from weighed
),

in_use as (
    select
        ranked_values.profile_id,
        {%- for attribute in rules %}
        max(case when ranked_values.attribute = '{{ attribute }}' then ranked_values.value end) as {{ attribute }},
        max(case when ranked_values.attribute = '{{ attribute }}' then ranked_values.source end) as {{ attribute }}_source,
        max(case when ranked_values.attribute = '{{ attribute }}' then ranked_values.observed_at end)
            as {{ attribute }}_observed_at,
        {%- endfor %}
        max(case when ranked_values.is_role then 1 else 0 end) = 1 as is_email_role,
        max(case when ranked_values.is_disposable then 1 else 0 end) = 1 as is_email_disposable
    from ranked_values
    where ranked_values.position = 1
    group by ranked_values.profile_id
),

final as (
    select
        profiles.profile_id,
        in_use.email,
        in_use.email_source,
        in_use.email_observed_at,
        coalesce(in_use.is_email_role, false) as is_email_role,
        coalesce(in_use.is_email_disposable, false) as is_email_disposable,
        {%- for attribute in rules if attribute != 'email' %}
        {% if attribute == 'birth_year' -%}
        cast(in_use.birth_year as bigint) as birth_year,
        {%- else -%}
        in_use.{{ attribute }},
        {%- endif %}
        in_use.{{ attribute }}_source,
        in_use.{{ attribute }}_observed_at,
        {%- endfor %}
        least(signups.signed_up_at, accounts.signed_up_at) as signed_up_at,
        profiles.first_seen_at,
        ranked_sources.source
    from profiles
    left join in_use on profiles.profile_id = in_use.profile_id
    left join accounts on profiles.profile_id = accounts.profile_id
    left join signups on profiles.profile_id = signups.profile_id
    left join ranked_sources on profiles.profile_id = ranked_sources.profile_id and ranked_sources.position = 1
)

select * from final
