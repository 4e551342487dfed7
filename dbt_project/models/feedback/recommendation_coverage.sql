{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false,
    on_schema_change='fail',
    pre_hook=[
        "{{ refuse_as_of_before(['as_of']) }}",
        "{{ take_back_inserts('as_of_on', at=as_of_on()) }}",
    ],
) }}

with recommendations as (

    select * from {{ ref('recommendations') }}

),

-- what the newsletter shows
mailed as (

    select * from recommendations
    where placement = 'email'

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

features as (

    select * from {{ ref('profile_features') }}

),

audience as (

    select
        profile_id,
        as_of,
        max(case when rung = 'personal' then 1 else 0 end) as is_personal,
        max(case when rung = 'personal' then score end) as best_score
    from mailed
    group by profile_id, as_of

),

described as (

    select
        audience.as_of,
        audience.is_personal,
        audience.best_score,
        profiles.country,
        profiles.source,
        features.first_purchase_at
    from audience
    left join profiles
        on audience.profile_id = profiles.profile_id
    left join features
        on audience.profile_id = features.profile_id

),

grouped as (

    {% for dimension, group_name in people_groups('described', 'described.as_of').items() %}
    select
        as_of,
        is_personal,
        best_score,
        '{{ dimension }}' as dimension,
        {{ group_name }} as group_name
    from described
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

final as (

    select
        {{ local_date(add_microseconds('as_of', -1)) }} as as_of_on,
        dimension,
        group_name,
        as_of,
        count(*) as n_people,
        cast(sum(is_personal) as bigint) as n_personal,
        {{ ratio('sum(is_personal)', 'count(*)') }} as coverage,
        avg(best_score) as mean_score
    from grouped
    group by as_of, dimension, group_name

)

select * from final
