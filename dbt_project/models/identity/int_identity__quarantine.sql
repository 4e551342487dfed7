{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region('node_key') }}",
) }}

with identifiers as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__identifiers') }}
    {{ within_region('node_key') }}
),

observed_edges as {{ whole_in_place() }} (
    select * from {{ ref('int_identity__observed_edges') }}
    {{ within_region('left_key') }}
),

identifier_parts as (
    select * from {{ ref('identifier_parts') }}
),

blocked_identifiers as (
    select * from {{ ref('blocked_identifiers') }}
),

budgets as (
    select * from {{ ref('identity_budgets') }}
),

named as (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        blocked_identifiers.reason as limit_name
    from identifiers
    inner join blocked_identifiers
        on
            lower(identifiers.identifier_value) = blocked_identifiers.identifier_value
            and (
                blocked_identifiers.identifier_type = '*'
                or identifiers.identifier_type = blocked_identifiers.identifier_type
            )
    union all
    -- words that a seed cannot hold: its reader takes them for no value
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        'placeholder' as limit_name
    from identifiers
    where lower(identifiers.identifier_value) in ('', 'null', '(null)', 'none', 'nil', 'nan', 'na', 'n/a')
),

-- once, though the list and the words may both name it
blocked as (
    select
        named.node_key,
        named.identifier_type,
        named.identifier_value,
        min(named.limit_name) as limit_name
    from named
    group by named.node_key, named.identifier_type, named.identifier_value
),

ends as {{ in_place() }} (
    select
        observed_edges.left_key as node_key,
        observed_edges.right_type as partner_type,
        observed_edges.right_key as partner_key,
        observed_edges.first_seen_at
    from observed_edges
    union all
    select
        observed_edges.right_key as node_key,
        observed_edges.left_type as partner_type,
        observed_edges.left_key as partner_key,
        observed_edges.first_seen_at
    from observed_edges
),

-- few have ever so many partners (one that two sources saw counts twice here): the rest is looked at for those alone
busy as (
    select ends.node_key
    from ends
    group by ends.node_key
    having count(*) > (select min(budgets.max_partners) from budgets)
),

crowded as (
    select
        ends.node_key,
        ends.partner_type,
        count(*) as n_rows
    from ends
    inner join busy on ends.node_key = busy.node_key
    group by ends.node_key, ends.partner_type
),

candidates as (
    select
        crowded.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        crowded.partner_type,
        budgets.max_partners,
        budgets.window_days
    from crowded
    inner join identifiers on crowded.node_key = identifiers.node_key
    inner join budgets
        on identifiers.identifier_type = budgets.identifier_type and crowded.partner_type = budgets.partner_type
    where crowded.n_rows > budgets.max_partners
),

-- who is blocked counts for nobody's budget
partners as (
    select
        candidates.node_key,
        candidates.identifier_type,
        candidates.identifier_value,
        candidates.partner_type,
        candidates.max_partners,
        candidates.window_days,
        ends.partner_key,
        min(ends.first_seen_at) as first_seen_at
    from candidates
    inner join ends on candidates.node_key = ends.node_key and candidates.partner_type = ends.partner_type
    left join blocked on ends.partner_key = blocked.node_key
    where blocked.node_key is null
    group by
        candidates.node_key, candidates.identifier_type, candidates.identifier_value, candidates.partner_type,
        candidates.max_partners, candidates.window_days, ends.partner_key
),

-- over budget within the window: the partner so many places earlier came less than a window before
windows as (
    select
        partners.node_key,
        partners.identifier_type,
        partners.identifier_value,
        partners.partner_type,
        partners.max_partners,
        partners.window_days,
        partners.first_seen_at,
        count(*) over (partition by partners.node_key, partners.partner_type) as n_partners,
        lag(partners.first_seen_at, cast(partners.max_partners as integer)) over (
            partition by partners.node_key, partners.partner_type
            order by partners.first_seen_at asc nulls last, partners.partner_key asc
        ) as earlier_seen_at
    from partners
),

over_budget as (
    select
        windows.node_key,
        windows.identifier_type,
        windows.identifier_value,
        windows.partner_type,
        windows.n_partners,
        windows.max_partners,
        windows.window_days,
        row_number() over (
            partition by windows.node_key
            order by windows.n_partners desc, windows.partner_type asc
        ) as position
    from windows
    where windows.earlier_seen_at > {{ add_hours('windows.first_seen_at', '-24 * windows.window_days') }}
    group by
        windows.node_key, windows.identifier_type, windows.identifier_value, windows.partner_type,
        windows.n_partners, windows.max_partners, windows.window_days
),

limited as (
    select
        blocked.node_key,
        blocked.identifier_type,
        blocked.identifier_value,
        'blocked' as reason,
        blocked.limit_name,
        cast(null as bigint) as n_partners
    from blocked
    union all
    select
        over_budget.node_key,
        over_budget.identifier_type,
        over_budget.identifier_value,
        'over_budget' as reason,
        'more than ' || cast(over_budget.max_partners as text) || ' ' || over_budget.partner_type || ' in '
        || cast(over_budget.window_days as text) || ' days' as limit_name,
        over_budget.n_partners
    from over_budget
    left join blocked on over_budget.node_key = blocked.node_key
    where over_budget.position = 1 and blocked.node_key is null
),

-- what is made of another identifier holds no better than that one
followers as (
    select
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        min(limited.reason) as reason,
        min(limited.identifier_type || ': ' || limited.limit_name) as limit_name,
        max(limited.n_partners) as n_partners
    from identifier_parts
    inner join ends on identifier_parts.part_type = ends.partner_type
    inner join limited on ends.partner_key = limited.node_key
    inner join identifiers
        on ends.node_key = identifiers.node_key and identifier_parts.identifier_type = identifiers.identifier_type
    left join limited as own on identifiers.node_key = own.node_key
    where own.node_key is null
    group by identifiers.node_key, identifiers.identifier_type, identifiers.identifier_value
),

final as (
    select * from limited
    union all
    select * from followers
)

select * from final
