with identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
),

observed_edges as (
    select * from {{ ref('int_identity__observed_edges') }}
),

quarantine as (
    select * from {{ ref('int_identity__quarantine') }}
),

rules as (
    select * from {{ source('identity', 'rules') }}
),

active_rules as (
    select
        rules.action,
        rules.left_type,
        rules.left_value,
        rules.right_type,
        rules.right_value,
        min(rules.rule_id) as rule_id,
        min(rules.created_at) as created_at
    from rules
    where rules.withdrawn_at is null
    group by rules.action, rules.left_type, rules.left_value, rules.right_type, rules.right_value
),

-- what a person decided is an edge like what was seen; it holds for all time, so it dates from the first time both were seen
stated as (
    select
        observed_edges.left_type,
        observed_edges.left_value,
        observed_edges.right_type,
        observed_edges.right_value,
        observed_edges.source,
        observed_edges.first_seen_at,
        observed_edges.last_seen_at,
        observed_edges.n_seen
    from observed_edges
    union all
    select
        active_rules.left_type,
        active_rules.left_value,
        active_rules.right_type,
        active_rules.right_value,
        'rule' as source,
        greatest(left_side.first_seen_at, right_side.first_seen_at) as first_seen_at,
        greatest(left_side.first_seen_at, right_side.first_seen_at) as last_seen_at,
        1 as n_seen
    from active_rules
    inner join identifiers as left_side
        on active_rules.left_type = left_side.identifier_type and active_rules.left_value = left_side.identifier_value
    inner join identifiers as right_side
        on active_rules.right_type = right_side.identifier_type and active_rules.right_value = right_side.identifier_value
    where active_rules.action = 'link'
),

pairs as (
    select
        stated.left_type,
        stated.left_value,
        stated.right_type,
        stated.right_value,
        min(stated.first_seen_at) as first_seen_at,
        max(stated.last_seen_at) as last_seen_at,
        cast(sum(stated.n_seen) as bigint) as n_seen,
        count(*) as n_sources,
        {{ string_agg('stated.source', ', ', 'stated.source') }} as sources,
        max(case when stated.source = 'rule' then 1 else 0 end) as is_ruled
    from stated
    group by stated.left_type, stated.left_value, stated.right_type, stated.right_value
),

refused as (
    select
        pairs.*,
        left_side.node_key as left_key,
        right_side.node_key as right_key,
        case when left_side.tier = 'bridge' and right_side.tier = 'bridge' then 'bridge' else 'attach' end as tier,
        case
            when cuts.rule_id is not null then 'cut'
            when left_quarantine.limit_name is not null or right_quarantine.limit_name is not null then 'quarantined'
        end as refusal,
        coalesce(
            cuts.rule_id,
            left_quarantine.identifier_type || ': ' || left_quarantine.limit_name,
            right_quarantine.identifier_type || ': ' || right_quarantine.limit_name
        ) as refusal_detail
    from pairs
    inner join identifiers as left_side
        on pairs.left_type = left_side.identifier_type and pairs.left_value = left_side.identifier_value
    inner join identifiers as right_side
        on pairs.right_type = right_side.identifier_type and pairs.right_value = right_side.identifier_value
    left join active_rules as cuts
        on
            cuts.action = 'cut'
            and pairs.left_type = cuts.left_type
            and pairs.left_value = cuts.left_value
            and pairs.right_type = cuts.right_type
            and pairs.right_value = cuts.right_value
    left join quarantine as left_quarantine
        on
            pairs.left_type = left_quarantine.identifier_type
            and pairs.left_value = left_quarantine.identifier_value
    left join quarantine as right_quarantine
        on
            pairs.right_type = right_quarantine.identifier_type
            and pairs.right_value = right_quarantine.identifier_value
),

final as (
    select
        refused.left_key,
        refused.right_key,
        refused.left_type,
        refused.left_value,
        refused.right_type,
        refused.right_value,
        refused.tier,
        -- once by one source is weakest; several sources, or a decision, are strongest
        cast(
            case
                when refused.is_ruled = 1 then 9
                else
                    case when refused.n_sources > 1 then 4 else 0 end
                    + case when refused.n_seen >= 10 then 3 when refused.n_seen >= 2 then 2 else 1 end
            end
            as bigint
        ) as strength,
        refused.first_seen_at,
        refused.last_seen_at,
        refused.n_seen,
        refused.n_sources,
        refused.sources,
        refused.refusal is null as is_active,
        refused.refusal,
        refused.refusal_detail
    from refused
)

select * from final
