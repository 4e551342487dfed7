{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('left_key') }}",
) }}

with identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
    {{ within_region('node_key') }}
),

observed_edges as (
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
        greatest(left_side.first_seen_at, right_side.first_seen_at) as first_seen_at
    from active_rules
    inner join identifiers as left_side
        on active_rules.left_type = left_side.identifier_type and active_rules.left_value = left_side.identifier_value
    inner join identifiers as right_side
        on active_rules.right_type = right_side.identifier_type and active_rules.right_value = right_side.identifier_value
),

stated as (
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
        1 as n_seen
    from ruled
    where ruled.action = 'link'
),

pairs as (
    select
        stated.left_key,
        stated.right_key,
        min(stated.left_type) as left_type,
        min(stated.left_value) as left_value,
        min(stated.right_type) as right_type,
        min(stated.right_value) as right_value,
        min(stated.first_seen_at) as first_seen_at,
        max(stated.last_seen_at) as last_seen_at,
        cast(sum(stated.n_seen) as bigint) as n_seen,
        count(*) as n_sources,
        {%- for source in identity_sources() %}
        max(case when stated.source = '{{ source }}' then 1 else 0 end) as is_{{ source }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from stated
    group by stated.left_key, stated.right_key
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
        substr(
            {%- for source in identity_sources() %}
            case when pairs.is_{{ source }} = 1 then ', {{ source }}' else '' end
            {{- ' ||' if not loop.last }}
            {%- endfor %},
            3
        ) as sources,
        case when left_side.tier = 'bridge' and right_side.tier = 'bridge' then 'bridge' else 'attach' end as tier,
        case
            when cuts.rule_id is not null then 'cut'
            when left_quarantine.node_key is not null or right_quarantine.node_key is not null then 'quarantined'
        end as refusal,
        coalesce(cuts.rule_id, left_quarantine.detail, right_quarantine.detail) as refusal_detail
    from pairs
    inner join identifiers as left_side on pairs.left_key = left_side.node_key
    inner join identifiers as right_side on pairs.right_key = right_side.node_key
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
                when refused.is_rule = 1 then 9
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
