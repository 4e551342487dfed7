-- depends_on: {{ ref('identifier_types') }}, {{ ref('identifier_parts') }}, {{ ref('identity_budgets') }}
-- depends_on: {{ ref('blocked_identifiers') }}
with parts as (
    {{ identity_parts() }}
),

final as (
    select
        {{ identity_bucket('parts.node_key') }} as bucket,
        {{ identity_fingerprint('parts.part') }} as fingerprint
    from parts
    {%- if nothing_to_compare_with() %}
    where 1 = 0
    {%- endif %}
    group by {{ identity_bucket('parts.node_key') }}
)

select * from final
