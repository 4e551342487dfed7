with identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
),

observed_edges as (
    select * from {{ ref('int_identity__observed_edges') }}
),

blocked_identifiers as (
    select * from {{ ref('blocked_identifiers') }}
),

budgets as (
    select * from {{ ref('identity_budgets') }}
),

blocked as (
    select
        identifiers.identifier_type,
        identifiers.identifier_value,
        min(blocked_identifiers.reason) as limit_name
    from identifiers
    inner join blocked_identifiers
        on
            lower(identifiers.identifier_value) = blocked_identifiers.identifier_value
            and (
                blocked_identifiers.identifier_type = '*'
                or identifiers.identifier_type = blocked_identifiers.identifier_type
            )
    group by identifiers.identifier_type, identifiers.identifier_value
    union all
    -- words that a seed cannot hold: its reader takes them for no value
    select
        identifiers.identifier_type,
        identifiers.identifier_value,
        'placeholder' as limit_name
    from identifiers
    where lower(identifiers.identifier_value) in ('', 'null', 'none', 'nan', 'na', 'n/a')
),

pairs as (
    select
        observed_edges.left_type as identifier_type,
        observed_edges.left_value as identifier_value,
        observed_edges.right_type as partner_type,
        observed_edges.right_value as partner_value,
        min(observed_edges.first_seen_at) as first_seen_at
    from observed_edges
    group by
        observed_edges.left_type, observed_edges.left_value, observed_edges.right_type, observed_edges.right_value
    union all
    select
        observed_edges.right_type as identifier_type,
        observed_edges.right_value as identifier_value,
        observed_edges.left_type as partner_type,
        observed_edges.left_value as partner_value,
        min(observed_edges.first_seen_at) as first_seen_at
    from observed_edges
    group by
        observed_edges.left_type, observed_edges.left_value, observed_edges.right_type, observed_edges.right_value
),

-- who is blocked counts for nobody's budget
counted as (
    select
        pairs.identifier_type,
        pairs.identifier_value,
        pairs.partner_type,
        count(*) as n_partners
    from pairs
    left join blocked
        on pairs.partner_type = blocked.identifier_type and pairs.partner_value = blocked.identifier_value
    where blocked.identifier_type is null
    group by pairs.identifier_type, pairs.identifier_value, pairs.partner_type
),

-- few have ever so many partners: the windows are looked at for those alone
candidates as (
    select
        counted.identifier_type,
        counted.identifier_value,
        counted.partner_type,
        counted.n_partners,
        budgets.max_partners,
        budgets.window_days
    from counted
    inner join budgets
        on counted.identifier_type = budgets.identifier_type and counted.partner_type = budgets.partner_type
    where counted.n_partners > budgets.max_partners
),

-- over budget within the window: the partner so many places earlier came less than a window before
windows as (
    select
        candidates.identifier_type,
        candidates.identifier_value,
        candidates.partner_type,
        candidates.n_partners,
        candidates.max_partners,
        candidates.window_days,
        pairs.first_seen_at,
        lag(pairs.first_seen_at, cast(candidates.max_partners as integer)) over (
            partition by candidates.identifier_type, candidates.identifier_value, candidates.partner_type
            order by pairs.first_seen_at asc nulls last, pairs.partner_value asc
        ) as earlier_seen_at
    from candidates
    inner join pairs
        on
            candidates.identifier_type = pairs.identifier_type
            and candidates.identifier_value = pairs.identifier_value
            and candidates.partner_type = pairs.partner_type
    left join blocked
        on pairs.partner_type = blocked.identifier_type and pairs.partner_value = blocked.identifier_value
    where blocked.identifier_type is null
),

over_budget as (
    select
        windows.identifier_type,
        windows.identifier_value,
        windows.partner_type,
        windows.n_partners,
        windows.max_partners,
        windows.window_days,
        row_number() over (
            partition by windows.identifier_type, windows.identifier_value
            order by windows.n_partners desc, windows.partner_type asc
        ) as position
    from windows
    where windows.earlier_seen_at > {{ add_hours('windows.first_seen_at', '-24 * windows.window_days') }}
    group by
        windows.identifier_type, windows.identifier_value, windows.partner_type, windows.n_partners,
        windows.max_partners, windows.window_days
),

final as (
    select
        blocked.identifier_type,
        blocked.identifier_value,
        'blocked' as reason,
        blocked.limit_name,
        cast(null as bigint) as n_partners
    from blocked
    union all
    select
        over_budget.identifier_type,
        over_budget.identifier_value,
        'over_budget' as reason,
        'more than ' || cast(over_budget.max_partners as text) || ' ' || over_budget.partner_type || ' in '
        || cast(over_budget.window_days as text) || ' days' as limit_name,
        over_budget.n_partners
    from over_budget
    left join blocked
        on
            over_budget.identifier_type = blocked.identifier_type
            and over_budget.identifier_value = blocked.identifier_value
    where over_budget.position = 1 and blocked.identifier_type is null
)

select * from final
