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
        cast(sum(parts.part) + {{ identity_logic_fingerprint() }} as numeric(38, 0)) as fingerprint
    from parts
    group by parts.node_key
)

select * from final
