with snapshots as (

    select * from {{ ref('profile_feature_snapshots') }}

),

cutoffs as (

    select * from {{ ref('int_training__cutoffs') }}

),

present_profiles as (

    select * from {{ ref('int_training__present_profiles') }}

),

sends as (

    select * from {{ ref('send_outcomes') }}

),

-- of mails near the cut-off, and near the end of the horizon, nobody knew then whether they would be answered
counted as (

    select
        cutoffs.as_of,
        cutoffs.horizon_ends_at,
        sends.profile_id,
        {%- for name, is_within in {
            'before': 'sends.settled_at < cutoffs.as_of',
            'ahead': 'sends.sent_at >= cutoffs.as_of and sends.settled_at < cutoffs.horizon_ends_at',
        }.items() %}
        sum(case when {{ is_within }} then 1 else 0 end) as delivered_{{ name }},
        sum(case when {{ is_within }} and sends.is_opened then 1 else 0 end) as opened_{{ name }},
        sum(case when {{ is_within }} and sends.is_clicked then 1 else 0 end) as clicked_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from cutoffs
    inner join sends
        on cutoffs.horizon_ends_at > sends.settled_at
    group by cutoffs.as_of, cutoffs.horizon_ends_at, sends.profile_id

),

final as (

    select
        snapshots.profile_id,
        snapshots.as_of,
        counted.horizon_ends_at,
        {%- for name in ['before', 'ahead'] %}
        cast(counted.delivered_{{ name }} as bigint) as delivered_{{ name }},
        cast(counted.opened_{{ name }} as bigint) as opened_{{ name }},
        cast(counted.clicked_{{ name }} as bigint) as clicked_{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from snapshots
    left join present_profiles
        on snapshots.profile_id = present_profiles.profile_id
    inner join counted
        on
            snapshots.as_of = counted.as_of
            and coalesce(present_profiles.present_profile_id, snapshots.profile_id) = counted.profile_id
    -- only who got mail can answer it
    where counted.delivered_ahead > 0

)

select * from final
