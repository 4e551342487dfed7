{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    pre_hook="{{ forget_web_parts() }}",
) }}
{%- set rules = [var('known_at')['web']] %}

with source as (
    select * from {{ source('raw', 'web_events') }}
),

normalized as (
    select * from {{ source('raw', 'identifier_normalized') }}
),

timed as (
    select
        source.*,
        {{ web_occurred_at('source') }} as occurred_at
    from source
),

visible_events as (
    select source.*
    from timed as source
    {%- if rows_stay(rules) %}
    inner join {{ working_table('changed') }} as changed
        on source._load_id = changed.load_id and cast(source.occurred_at as date) = changed.utc_day
    {%- endif %}
    where {{ visible('web', 'source.occurred_at', 'source.received_at') }}
),

extracted as (
    select
        source.*,
        case
            when source.type = 'identify'
                then coalesce(
                    {{ json_text('source.properties', ['email']) }},
                    {{ json_text('source.properties', ['traits', 'email']) }},
                    {{ json_text('source.context', ['traits', 'email']) }}
                )
        end as raw_email
    from visible_events as source
),

final as (
    select
        -- ids
        source.message_id,
        {{ clean_text('source.anonymous_id') }} as anonymous_id,
        {{ clean_text('source.user_id') }} as user_id,
        {{ clean_text(json_text('source.context', ['device', 'id'])) }} as device_id,
        {{ json_text('source.properties', ['product_id']) }} as product_id,
        {{ json_text('source.properties', ['order_id']) }} as order_id,

        -- text
        source.type as event_type,
        case when source.type = 'page' then 'page' else coalesce(source.event, source.type) end as event_name,
        case when normalized.is_valid then normalized.normalized_value end as email,
        source.raw_email,
        coalesce(normalized.is_role, false) as is_email_role,
        coalesce(normalized.is_disposable, false) as is_email_disposable,
        case when normalized.is_valid then normalized.identity_value end as mailbox,
        {{ json_text('source.properties', ['category']) }} as category,
        {{ json_text('source.properties', ['url']) }} as page_url,
        {{ json_text('source.properties', ['referrer']) }} as referrer,
        {{ json_text('source.context', ['campaign', 'name']) }} as campaign_name,

        -- timestamps
        source.occurred_at,
        source.received_at,
        {{ known_at_of('web', 'source.occurred_at', 'source.received_at') }} as known_at,

        -- delivery
        source._loaded_at as loaded_at,
        source._load_id as load_id,
        source._row_number as row_number,
        cast({{ made_by(rules) }} as bigint) as made_by
    from extracted as source
    left join normalized
        on normalized.identifier_type = 'email' and source.raw_email = normalized.raw_value
)

select * from final
