{%- set window = var('answer_window_hours') -%}

with events as (

    select * from {{ ref('fct_email_events') }}

),

profiles as (

    select * from {{ ref('dim_profiles') }}

),

time_zones as (

    select * from {{ known_time_zones() }} as known_zones

),

-- when somebody wrote is theirs to choose; when it came is the servers'. Not every vendor reports the first
messages as (

    select
        profile_id,
        identifier_value,
        message_id,
        coalesce(
            min(case when event_type = 'sent' then occurred_at end), min(case when event_type = 'delivered' then occurred_at end)
        ) as sent_at,
        max(linked_at) as linked_at
    from events
    where
        event_type in ('sent', 'delivered')
        and message_id is not null
        and profile_id is not null
    group by profile_id, identifier_value, message_id
    having count(case when event_type = 'delivered' then 1 end) > 0

),

answers as (

    select
        messages.identifier_value,
        messages.message_id,
        max(case when events.event_type = 'open' then 1 else 0 end) as is_opened,
        max(case when events.event_type = 'click' then 1 else 0 end) as is_clicked
    from messages
    inner join events
        on
            messages.identifier_value = events.identifier_value
            and messages.message_id = events.message_id
            and {{ add_hours('messages.sent_at', window) }} > events.occurred_at
    where
        events.event_type in ('open', 'click')
        and not events.is_machine
    group by messages.identifier_value, messages.message_id

),

final as (

    select
        messages.profile_id,
        messages.identifier_value,
        messages.message_id,
        messages.sent_at,
        {{ local_hour_in(
            'messages.sent_at', "coalesce(time_zones.zone, '" ~ var('business_time_zone') ~ "')"
        ) }} as local_hour,
        {{ iso_weekday(local_date_in(
            'messages.sent_at', "coalesce(time_zones.zone, '" ~ var('business_time_zone') ~ "')"
        )) }} as local_weekday,
        -- who clicked has seen it, whether or not images were shown
        coalesce(answers.is_opened, 0) + coalesce(answers.is_clicked, 0) > 0 as is_opened,
        coalesce(answers.is_clicked, 0) > 0 as is_clicked,
        greatest({{ add_hours('messages.sent_at', window) }}, messages.linked_at) as settled_at
    from messages
    inner join profiles
        on messages.profile_id = profiles.profile_id
    left join time_zones
        on profiles.time_zone = time_zones.zone
    left join answers
        on
            messages.identifier_value = answers.identifier_value
            and messages.message_id = answers.message_id
    where {{ add_hours('messages.sent_at', window) }} < {{ as_of() }}

)

select * from final
