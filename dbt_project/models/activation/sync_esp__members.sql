with subscribers as (

    select * from {{ ref('int_activation__subscribers') }}

),

consent as (

    select * from {{ ref('dim_consent') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

features as (

    select * from {{ ref('profile_features') }}

),

stages as (

    select * from {{ ref('lifecycle_stages') }}

),

engagement as (

    select * from {{ ref('engagement_levels') }}

),

rfm as (

    select * from {{ ref('rfm_scores') }}

),

churn as (

    select * from {{ ref('churn_scores') }}

),

recommendations as (

    select * from {{ ref('recommendations') }}

),

offers as (

    select
        profile_id,
        {%- for rank in [1, 2, 3] %}
        max(case when rank = {{ rank }} then product_name end) as rec_{{ rank }}_name,
        cast(max(case when rank = {{ rank }} then price end) as numeric(18, 2)) as rec_{{ rank }}_price,
        max(case when rank = {{ rank }} then product_url end) as rec_{{ rank }}_url,
        max(case when rank = {{ rank }} then image_url end) as rec_{{ rank }}_image_url,
        {%- endfor %}
        min(expires_at) as recs_expire_at
    from recommendations
    where placement = 'email'
    group by profile_id

),

final as (

    select
        subscribers.profile_id,
        subscribers.email,
        subscribers.subscriber_hash,
        subscribers.consent_verdict,
        subscribers.consent_reason,
        profiles.first_name,
        profiles.city,
        {{ local_date('features.last_purchase_at') }} as last_purchase_on,
        {{ local_date('features.last_session_at') }} as last_session_on,
        rfm.rfm_score,
        rfm.rfm_cell,
        stages.customer_stage,
        stages.journey_stage,
        engagement.engagement_level,
        churn.churn_band,
        {%- for rank in [1, 2, 3] %}
        offers.rec_{{ rank }}_name,
        offers.rec_{{ rank }}_price,
        offers.rec_{{ rank }}_url,
        offers.rec_{{ rank }}_image_url,
        {%- endfor %}
        offers.recs_expire_at,
        features.as_of
    from subscribers
    -- the gate again, where a reader of this model can see it
    inner join consent
        on
            subscribers.profile_id = consent.profile_id
            and consent.channel = 'email'
            and consent.purpose = 'newsletter'
    inner join profiles
        on subscribers.profile_id = profiles.profile_id
    inner join features
        on subscribers.profile_id = features.profile_id
    inner join stages
        on subscribers.profile_id = stages.profile_id
    inner join engagement
        on subscribers.profile_id = engagement.profile_id
    left join rfm
        on subscribers.profile_id = rfm.profile_id
    left join churn
        on subscribers.profile_id = churn.profile_id
    left join offers
        on subscribers.profile_id = offers.profile_id

)

select * from final
