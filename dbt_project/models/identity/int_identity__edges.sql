{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('left_key') }}",
) }}

with identifiers as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__identifiers') }}
    {{ within_region('node_key') }}
),

observed_edges as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__observed_edges') }}
    {{ within_region('left_key') }}
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
ruled as (
    select
        active_rules.action,
        active_rules.rule_id,
        left_side.node_key as left_key,
        right_side.node_key as right_key,
        active_rules.left_type,
        active_rules.left_value,
        active_rules.right_type,
        active_rules.right_value,
        greatest(left_side.first_seen_at, right_side.first_seen_at) as first_seen_at,
        greatest(left_side.available_at, right_side.available_at) as available_at
    from active_rules
    inner join identifiers as left_side
        on active_rules.left_type = left_side.identifier_type and active_rules.left_value = left_side.identifier_value
    inner join identifiers as right_side
        on active_rules.right_type = right_side.identifier_type and active_rules.right_value = right_side.identifier_value
),

stated as {{ in_place() }} (
    select
        observed_edges.left_key,
        observed_edges.right_key,
        observed_edges.left_type,
        observed_edges.left_value,
        observed_edges.right_type,
        observed_edges.right_value,
        observed_edges.source,
        observed_edges.first_seen_at,
        observed_edges.last_seen_at,
        observed_edges.available_at,
        observed_edges.n_seen
    from observed_edges
    union all
    select
        ruled.left_key,
        ruled.right_key,
        ruled.left_type,
        ruled.left_value,
        ruled.right_type,
        ruled.right_value,
        'rule' as source,
        ruled.first_seen_at,
        ruled.first_seen_at as last_seen_at,
        ruled.available_at,
        1 as n_seen
    from ruled
    where ruled.action = 'link'
),

-- most pairs have one source: their row is the edge, and only the others are folded
repeated as (
    select
        stated.left_key,
        stated.right_key
    from stated
    group by stated.left_key, stated.right_key
    having count(*) > 1
),

folded as (
    select
        stated.left_key,
        stated.right_key,
        min(stated.left_type) as left_type,
        min(stated.left_value) as left_value,
        min(stated.right_type) as right_type,
        min(stated.right_value) as right_value,
        min(stated.first_seen_at) as first_seen_at,
        max(stated.last_seen_at) as last_seen_at,
        min(stated.available_at) as available_at,
        cast(sum(stated.n_seen) as bigint) as n_seen,
        count(*) as n_sources,
        max(case when stated.source = 'rule' then 1 else 0 end) = 1 as is_ruled,
        substr(
            {%- for source in identity_sources() %}
            max(case when stated.source = '{{ source }}' then ', {{ source }}' else '' end)
            {{- ' ||' if not loop.last }}
            {%- endfor %},
            3
        ) as sources
    from stated
    inner join repeated on stated.left_key = repeated.left_key and stated.right_key = repeated.right_key
    group by stated.left_key, stated.right_key
),

pairs as (
    select
        stated.left_key,
        stated.right_key,
        stated.left_type,
        stated.left_value,
        stated.right_type,
        stated.right_value,
        stated.first_seen_at,
        stated.last_seen_at,
        stated.available_at,
        stated.n_seen,
        1 as n_sources,
        stated.source = 'rule' as is_ruled,
        stated.source as sources
    from stated
    left join repeated on stated.left_key = repeated.left_key and stated.right_key = repeated.right_key
    where repeated.left_key is null
    union all
    select
        folded.left_key,
        folded.right_key,
        folded.left_type,
        folded.left_value,
        folded.right_type,
        folded.right_value,
        folded.first_seen_at,
        folded.last_seen_at,
        folded.available_at,
        folded.n_seen,
        folded.n_sources,
        folded.is_ruled,
        folded.sources
    from folded
),

attached as (
    select identifiers.node_key
    from identifiers
    where identifiers.tier = 'attach'
),

cuts as (
    select
        ruled.left_key,
        ruled.right_key,
        ruled.rule_id
    from ruled
    where ruled.action = 'cut'
),

quarantined as (
    select
        quarantine.node_key,
        quarantine.identifier_type || ': ' || quarantine.limit_name as detail
    from quarantine
),

refused as (
    select
        pairs.*,
        case when left_attached.node_key is null and right_attached.node_key is null then 'bridge' else 'attach' end as tier,
        case
            when cuts.rule_id is not null then 'cut'
            when left_quarantine.node_key is not null or right_quarantine.node_key is not null then 'quarantined'
        end as refusal,
        coalesce(cuts.rule_id, left_quarantine.detail, right_quarantine.detail) as refusal_detail
    from pairs
    left join attached as left_attached on pairs.left_key = left_attached.node_key
    left join attached as right_attached on pairs.right_key = right_attached.node_key
    left join cuts on pairs.left_key = cuts.left_key and pairs.right_key = cuts.right_key
    left join quarantined as left_quarantine on pairs.left_key = left_quarantine.node_key
    left join quarantined as right_quarantine on pairs.right_key = right_quarantine.node_key
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
                when refused.is_ruled then 9
                else
                    case when refused.n_sources > 1 then 4 else 0 end
                    + case when refused.n_seen >= 10 then 3 when refused.n_seen >= 2 then 2 else 1 end
            end
            as bigint
        ) as strength,
        refused.first_seen_at,
        refused.last_seen_at,
        refused.available_at,
        refused.n_seen,
        refused.n_sources,
        refused.sources,
        refused.refusal is null as is_active,
        refused.refusal,
        refused.refusal_detail
    from refused
)

select * from final
