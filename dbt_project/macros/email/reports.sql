{#-
    What the ESP reported, with what the fact needs to know to be made incrementally. A message (message_id to one address) is judged
    as a whole: an open by its delivery, a click by the clicks around it. So what a build rewrites is whole messages: all that have an
    event on a rebuilt day, whatever other days they reach into.
-#}

{#- select: stg_email__events with message_key (the message, or a report without one by itself), occurred_on and fingerprint. -#}
{%- macro email_reports() -%}
    select
        reports.*,
        coalesce(reports.message_id || ' ' || coalesce(reports.email, ''), '|' || reports.email_event_id) as message_key,
        {{ local_date('reports.occurred_at') }} as occurred_on,
        {{ row_fingerprint([
            'reports.email_event_id', 'reports.event_type', 'reports.message_id', 'reports.email', 'reports.campaign_id',
            'reports.bounce_type', 'reports.link_url', 'reports.user_agent', 'reports.ip', 'reports.http_method',
            'reports.is_provider_flagged_machine', 'reports.occurred_at', 'reports.received_at', 'reports.loaded_at', 'reports.load_id',
            'reports.row_number', email_rules_fingerprint()
        ]) }} as fingerprint
    from {{ ref('stg_email__events') }} as reports
{%- endmacro -%}

{#- A number, scalar: the rules that events are judged by, and the text of the model that does it. -#}
{%- macro email_rules_fingerprint() -%}
    (
        select
            coalesce(sum(rules.part), 0)
            + {{ fact_logic_fingerprint('int_email__events', [var('business_time_zone'), var('known_at')['email']]) }}
        from (
            select {{ row_fingerprint([
                'rule', 'rule_order', 'version', 'applies_to_open', 'applies_to_click', 'p_human', 'max_seconds', 'min_links', 'is_enabled'
            ]) }} as part
            from {{ ref('machine_rules') }}
            union all
            select {{ row_fingerprint(['rule', 'field', 'match_type', 'pattern']) }} as part
            from {{ ref('machine_signatures') }}
        ) as rules
    )
{%- endmacro -%}

{#- For the pre-hook of int_email__events: the messages to be computed again, in a table of this session, and their rows gone. -#}
{%- macro forget_changed_messages() -%}
    {%- if is_incremental() -%}
        {%- do create_working_table('email_changed_days', rebuilt_days('(' ~ email_reports() ~ ')', this)) -%}
        {#- a report that changed may have been, or become, the one that counts of its event: all messages of the event -#}
        {%- set events -%}
            select reports.email_event_id from ({{ email_reports() }}) as reports
            where reports.occurred_on in (select occurred_on from email_changed_days)
            union distinct
            select stored.email_event_id from {{ this }} as stored
            where stored.occurred_on in (select occurred_on from email_changed_days)
        {%- endset -%}
        {%- do create_working_table('email_changed_events', events) -%}
        {%- set messages -%}
            select reports.message_key from ({{ email_reports() }}) as reports
            where reports.email_event_id in (select email_event_id from email_changed_events)
            union distinct
            select stored.message_key from {{ this }} as stored
            where stored.email_event_id in (select email_event_id from email_changed_events)
        {%- endset -%}
        {%- do create_working_table('email_changed_messages', messages) -%}
        delete from {{ this }} where message_key in (select message_key from email_changed_messages)
    {%- endif -%}
{%- endmacro -%}
