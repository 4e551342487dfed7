with sightings as (
    select * from {{ ref('int_identity__sightings') }}
),

observed_edges as (
    select * from {{ ref('int_identity__observed_edges') }}
),

rules as (
    select * from {{ source('identity', 'rules') }}
    where withdrawn_at is null
),

identifier_types as (
    select * from {{ ref('identifier_types') }}
),

identifier_parts as (
    select * from {{ ref('identifier_parts') }}
),

identity_budgets as (
    select * from {{ ref('identity_budgets') }}
),

blocked_identifiers as (
    select * from {{ ref('blocked_identifiers') }}
),

-- a row of a seed speaks of everybody
settings as (
    select
        {{ row_fingerprint([
            'identifier_types.identifier_type', 'identifier_types.tier', 'identifier_types.stands_alone'
        ]) }} as part
    from identifier_types
    union all
    select {{ row_fingerprint(['identifier_parts.identifier_type', 'identifier_parts.part_type']) }} as part
    from identifier_parts
    union all
    select
        {{ row_fingerprint([
            'identity_budgets.identifier_type', 'identity_budgets.partner_type', 'identity_budgets.max_partners',
            'identity_budgets.window_days'
        ]) }} as part
    from identity_budgets
    union all
    select
        {{ row_fingerprint([
            'blocked_identifiers.identifier_type', 'blocked_identifiers.identifier_value', 'blocked_identifiers.reason'
        ]) }} as part
    from blocked_identifiers
),

everybodys as (
    select coalesce(sum(settings.part), 0) + {{ identity_logic_fingerprint() }} as part
    from settings
),

-- numbers of all that an identifier's place in the graph is worked out from; a sum, so their order does not matter
parts as (
    select
        {{ node_key('sightings.identifier_type', 'sightings.identifier_value') }} as node_key,
        {{ row_fingerprint([
            'sightings.source', 'sightings.is_role', 'sightings.is_disposable', 'sightings.first_seen_at',
            'sightings.last_seen_at', 'sightings.n_seen'
        ]) }} as part
    from sightings
    union all
    select
        observed_edges.left_key as node_key,
        {{ row_fingerprint([
            'observed_edges.right_key', 'observed_edges.source', 'observed_edges.first_seen_at', 'observed_edges.last_seen_at',
            'observed_edges.n_seen'
        ]) }} as part
    from observed_edges
    union all
    select
        observed_edges.right_key as node_key,
        {{ row_fingerprint([
            'observed_edges.left_key', 'observed_edges.source', 'observed_edges.first_seen_at', 'observed_edges.last_seen_at',
            'observed_edges.n_seen'
        ]) }} as part
    from observed_edges
    union all
    select
        {{ node_key('rules.left_type', 'rules.left_value') }} as node_key,
        {{ row_fingerprint(['rules.rule_id', 'rules.action', 'rules.created_at']) }} as part
    from rules
    union all
    select
        {{ node_key('rules.right_type', 'rules.right_value') }} as node_key,
        {{ row_fingerprint(['rules.rule_id', 'rules.action', 'rules.created_at']) }} as part
    from rules
),

final as (
    select
        parts.node_key,
        cast(sum(parts.part) + max(everybodys.part) as numeric(38, 0)) as fingerprint
    from parts
    cross join everybodys
    group by parts.node_key
)

select * from final
