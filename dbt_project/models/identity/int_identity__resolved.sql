{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook="{{ forget_region_or_all() }}",
) }}
-- written last: whoever is in here as they are now need not be looked at again
-- depends_on: {{ ref('identity_registry') }}

with parts as (
    {{ identity_parts(within_region('node_key')) }}
),

final as (
    select
        parts.node_key,
        {{ identity_fingerprint('parts.part') }} as fingerprint
    from parts
    {%- if execute and not took_the_whole_way() %}
    where 1 = 0
    {%- endif %}
    group by parts.node_key
)

select * from final
