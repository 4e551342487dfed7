with events as (
    select * from {{ ref('stg_web__events') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

-- the first delivery of a message counts
ranked as (
    select
        events.*,
        row_number() over (
            partition by events.message_id
            order by
                events.received_at asc nulls last,
                events.occurred_at asc nulls last,
                events.load_id asc,
                events.row_number asc
        ) as position
    from events
    where events.event_type in ('page', 'track')
),

-- a session is of a device, so that logging in half-way does not split it
placed as (
    select
        ranked.*,
        case when ranked.user_id is not null then 'user_id' when ranked.anonymous_id is not null then 'anonymous_id' end
            as identifier_type,
        coalesce(ranked.user_id, ranked.anonymous_id) as identifier_value,
        coalesce('a:' || ranked.anonymous_id, 'u:' || ranked.user_id, 'm:' || ranked.message_id) as device
    from ranked
    where ranked.position = 1
),

spaced as (
    select
        placed.*,
        lag(placed.occurred_at) over (
            partition by placed.device order by placed.occurred_at asc nulls last, placed.message_id asc
        ) as previous_at
    from placed
),

marked as (
    select
        spaced.*,
        {{ begins_session('spaced.occurred_at', 'spaced.previous_at') }} as is_session_start
    from spaced
),

numbered as (
    select
        marked.*,
        sum(case when marked.is_session_start then 1 else 0 end) over (
            partition by marked.device
            order by marked.occurred_at asc nulls last, marked.message_id asc
            rows between unbounded preceding and current row
        ) as session_number
    from marked
),

named as (
    select
        numbered.*,
        first_value(numbered.message_id) over (
            partition by numbered.device, numbered.session_number
            order by numbered.occurred_at asc nulls last, numbered.message_id asc
        ) as first_message_id
    from numbered
),

final as (
    select
        named.message_id as web_event_id,
        identifier_profiles.profile_id,
        named.identifier_type,
        named.identifier_value,
        {{ dbt.hash('named.first_message_id') }} as session_id,
        named.is_session_start,
        named.event_name,
        named.occurred_at,
        {{ local_date('named.occurred_at') }} as occurred_on,
        named.received_at,
        named.known_at,
        named.product_id,
        named.category,
        named.order_id,
        named.page_url,
        named.campaign_name
    from named
    left join identifier_profiles
        on
            named.identifier_type = identifier_profiles.identifier_type
            and named.identifier_value = identifier_profiles.identifier_value
)

select * from final
