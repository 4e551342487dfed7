{#-
  Both lifecycle vocabularies of every profile, as of one or many cut-offs (docs/lifecycle.md).

  features: a relation or CTE with the columns of profile_features. Returns one row per row of it: profile_id, as_of,
  customer_stage, journey_stage (text).
-#}
{% macro lifecycle_stages(features) %}
{%- set browsing_days = var('consideration_window_days') -%}

with customer_stages as (

    select
        features.*,
        case
            when features.orders_lifetime > 0 then
                case
                    when features.days_since_human_activity >= {{ var('lapsed_after_days') }} then 'lapsed_customer'
                    when
                        features.{{ feature('orders', var('repeat_buyer_window_days')) }} >= {{ var('repeat_buyer_min_orders') }}
                        then 'repeat_buyer'
                    when features.days_since_first_purchase < {{ var('new_customer_days') }} then 'new_customer'
                    else 'active_customer'
                end
            when features.has_signed_up then 'prospect'
            else 'visitor'
        end as customer_stage
    from {{ features }} as features

),

final as (

    select
        profile_id,
        as_of,
        customer_stage,
        case
            when customer_stage = 'repeat_buyer' and revenue_lifetime >= {{ var('loyalty_min_lifetime_value') }}
                then 'loyalty'
            when orders_lifetime > 0 then 'customer'
            when
                {{ feature('product_views', browsing_days) }} > 0
                or {{ feature('cart_adds', browsing_days) }} > 0
                then 'consideration'
            else 'awareness'
        end as journey_stage
    from customer_stages

)

select * from final
{% endmacro %}


{#-
  The level of human engagement of every profile, as of one or many cut-offs (docs/lifecycle.md).

  features: a relation or CTE with the columns of profile_features. Returns one row per row of it: profile_id, as_of,
  engagement_level (text), engagement_score (bigint), last_human_activity_at (timestamp).
-#}
{% macro engagement_levels(features) %}
with final as (

    select
        features.profile_id,
        features.as_of,
        case
            when features.last_human_activity_at is null then 'never'
            when features.days_since_human_activity >= {{ var('engaged_within_days') }} then 'dormant'
            when
                features.days_since_human_activity < {{ var('highly_engaged_within_days') }}
                and features.engagement_score >= {{ var('highly_engaged_min_score') }}
                then 'highly_engaged'
            else 'active'
        end as engagement_level,
        features.engagement_score,
        features.last_human_activity_at
    from {{ features }} as features

)

select * from final
{% endmacro %}


{#-
  Shares of every recorded day (lifecycle_sizes) beside those of the newest recorded day that is at least `min_days` older.

  Returns one row per day with such an earlier one, vocabulary and stage that either knows: as_of_on, earlier_on (date), vocabulary,
  stage, share_before, share_after (double precision; 0 where nobody was in the stage).
-#}
{% macro compared_shares(min_days) %}
with sizes as (

    select * from {{ ref('lifecycle_sizes') }}

),

days as (

    select distinct
        as_of_on,
        vocabulary
    from sizes

),

pairs as (

    select
        days.as_of_on,
        days.vocabulary,
        max(earlier_days.as_of_on) as earlier_on
    from days
    inner join days as earlier_days
        on
            days.vocabulary = earlier_days.vocabulary
            and {{ add_days('days.as_of_on', -1 * min_days) }} >= earlier_days.as_of_on
    group by days.as_of_on, days.vocabulary

),

shares as (

    select
        pairs.as_of_on,
        pairs.earlier_on,
        pairs.vocabulary,
        sizes.stage,
        sizes.share as share_before,
        cast(0 as double precision) as share_after
    from pairs
    inner join sizes
        on
            pairs.vocabulary = sizes.vocabulary
            and pairs.earlier_on = sizes.as_of_on

    union all

    select
        pairs.as_of_on,
        pairs.earlier_on,
        pairs.vocabulary,
        sizes.stage,
        cast(0 as double precision) as share_before,
        sizes.share as share_after
    from pairs
    inner join sizes
        on
            pairs.vocabulary = sizes.vocabulary
            and pairs.as_of_on = sizes.as_of_on

),

final as (

    select
        as_of_on,
        earlier_on,
        vocabulary,
        stage,
        sum(share_before) as share_before,
        sum(share_after) as share_after
    from shares
    group by as_of_on, earlier_on, vocabulary, stage

)

select * from final
{% endmacro %}
