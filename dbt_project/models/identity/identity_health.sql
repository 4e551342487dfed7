{%- set limits = var('identity_limits') -%}

with identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

identifiers as (
    select * from {{ ref('int_identity__identifiers') }}
),

quarantine as (
    select * from {{ ref('int_identity__quarantine') }}
),

splits as (
    select * from {{ ref('identity_splits') }}
),

sizes as (
    select
        identifier_profiles.profile_id,
        count(*) as n_identifiers,
        sum(case when identifiers.tier = 'bridge' then 1 else 0 end) as n_bridges
    from identifier_profiles
    inner join identifiers
        on
            identifier_profiles.identifier_type = identifiers.identifier_type
            and identifier_profiles.identifier_value = identifiers.identifier_value
    group by identifier_profiles.profile_id
),

profile_counts as (
    select
        count(*) as n_profiles,
        max(sizes.n_bridges) as max_bridges,
        sum(case when sizes.n_bridges > 0 then 1 else 0 end) as n_persons,
        sum(case when sizes.n_bridges > 1 then 1 else 0 end) as n_merged,
        sum(case when sizes.n_identifiers = 1 then 1 else 0 end) as n_singletons
    from sizes
),

identifier_counts as (
    select count(*) as n_identifiers
    from identifiers
),

quarantine_counts as (
    select
        count(*) as n_quarantined,
        sum(case when quarantine.reason = 'over_budget' then 1 else 0 end) as n_over_budget
    from quarantine
),

split_counts as (
    select sum(case when splits.limit_kind = 'max_component_size' then 1 else 0 end) as n_size_splits
    from splits
),

metrics as (
    select
        'profiles' as metric,
        cast(profile_counts.n_profiles as double precision) as value,
        cast(null as double precision) as threshold
    from profile_counts
    union all
    select
        'largest_component' as metric,
        cast(coalesce(profile_counts.max_bridges, 0) as double precision) as value,
        cast({{ limits['largest_component'] }} as double precision) as threshold
    from profile_counts
    union all
    -- share of the people who have more than one identifier that can join
    select
        'merge_rate' as metric,
        {{ ratio('profile_counts.n_merged', 'profile_counts.n_persons') }} as value,
        cast({{ limits['merge_rate'] }} as double precision) as threshold
    from profile_counts
    union all
    select
        'singleton_share' as metric,
        {{ ratio('profile_counts.n_singletons', 'profile_counts.n_profiles') }} as value,
        cast({{ limits['singleton_share'] }} as double precision) as threshold
    from profile_counts
    union all
    select
        'quarantined_share' as metric,
        {{ ratio('quarantine_counts.n_quarantined', 'identifier_counts.n_identifiers') }} as value,
        cast({{ limits['quarantined_share'] }} as double precision) as threshold
    from quarantine_counts
    cross join identifier_counts
    union all
    select
        'identifiers_over_budget' as metric,
        cast(coalesce(quarantine_counts.n_over_budget, 0) as double precision) as value,
        cast({{ limits['identifiers_over_budget'] }} as double precision) as threshold
    from quarantine_counts
    union all
    select
        'edges_split_by_size' as metric,
        cast(coalesce(split_counts.n_size_splits, 0) as double precision) as value,
        cast({{ limits['edges_split_by_size'] }} as double precision) as threshold
    from split_counts
),

final as (
    select
        metrics.metric,
        metrics.value,
        metrics.threshold,
        coalesce(metrics.value <= metrics.threshold, true) as is_ok
    from metrics
)

select * from final
