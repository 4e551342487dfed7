{{ config(materialized='region') }}
-- depends_on: {{ ref('int_identity__fingerprints') }}, {{ ref('int_identity__sightings') }}
-- depends_on: {{ ref('identifier_types') }}, {{ ref('identifier_parts') }}, {{ ref('identity_budgets') }}
-- depends_on: {{ ref('blocked_identifiers') }}

with observed_edges as (
    select * from {{ ref('int_identity__observed_edges') }}
),

rules as (
    select * from {{ source('identity', 'rules') }}
    where withdrawn_at is null
),

final as (
    select
        observed_edges.left_key,
        observed_edges.right_key
    from observed_edges
    union all
    select
        {{ node_key('rules.left_type', 'rules.left_value') }} as left_key,
        {{ node_key('rules.right_type', 'rules.right_value') }} as right_key
    from rules
)

select * from final
