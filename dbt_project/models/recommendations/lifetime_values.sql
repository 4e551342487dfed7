with predictions as (

    select * from {{ source('ml', 'lifetime_value_predictions') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

clock as (

    select * from {{ source('control', 'clock') }}

),

current_predictions as (

    {{ newest_predictions('predictions', 'profiles', 'clock', ['horizon_days']) }}

),

final as (

    select
        profile_id,
        {%- for days in [30, 90, 365] %}
        {%- for name in ['p_purchase', 'expected_purchases', 'purchases_low', 'purchases_high'] %}
        max(case when horizon_days = {{ days }} then {{ name }} end) as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- for name in ['expected_value', 'value_low', 'value_high'] %}
        cast(max(case when horizon_days = {{ days }} then {{ name }} end) as numeric(18, 2)) as {{ name }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        max(value_method) as value_method,
        max(next_purchase_on) as next_purchase_on,
        max(model_version) as model_version,
        max(trained_at) as trained_at,
        max(as_of) as as_of
    from current_predictions
    group by profile_id

)

select * from final
