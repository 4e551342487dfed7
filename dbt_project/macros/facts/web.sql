{#- Web events as they are kept up: staging by parts of loads, int_web__events by local days (docs/facts.md). -#}

{#- timestamp: nothing is received before it happens; a device whose clock runs ahead is corrected to the arrival. -#}
{%- macro web_occurred_at(relation) -%}
    case when {{ relation }}."timestamp" > {{ relation }}.received_at then {{ relation }}.received_at else {{ relation }}."timestamp" end
{%- endmacro -%}

{#- Pre-hook of stg_web__events: rows of parts that differ are forgotten, and those whose address reads otherwise by now. -#}
{%- macro forget_web_parts() -%}
    {%- if not rows_stay([var('known_at')['web']]) -%}
        {%- do forget_everything() -%}
    {%- else -%}
        {%- set loaded -%}
            select source._load_id as load_id from {{ source('raw', 'web_events') }} as source
        {%- endset -%}
        {%- set now -%}
            select visible_now.load_id, visible_now.occurred_at
            from (
                select
                    source._load_id as load_id, source._loaded_at, source.received_at,
                    {{ web_occurred_at('source') }} as occurred_at
                from {{ source('raw', 'web_events') }} as source
            ) as visible_now
            where {{ visible('web', 'visible_now.occurred_at', 'visible_now.received_at', 'visible_now._loaded_at') }}
        {%- endset -%}
        {%- set normalized_otherwise -%}
            select t.load_id, cast(t.occurred_at as date) as utc_day
            from {{ this }} as t
            left join {{ source('raw', 'identifier_normalized') }} as normalized
                on normalized.identifier_type = 'email' and t.raw_email = normalized.raw_value
            where
                t.raw_email is not null
                and (
                    t.email is distinct from case when normalized.is_valid then normalized.normalized_value end
                    or t.mailbox is distinct from case when normalized.is_valid then normalized.identity_value end
                    or t.is_email_role is distinct from coalesce(normalized.is_role, false)
                    or t.is_email_disposable is distinct from coalesce(normalized.is_disposable, false)
                )
        {%- endset -%}
        {%- do collect_changed_parts(loaded, now, [normalized_otherwise]) -%}
        delete from {{ this }} where (load_id, cast(occurred_at as date)) in (
            select changed.load_id, changed.utc_day from {{ working_table('changed') }} as changed
        )
    {%- endif -%}
{%- endmacro -%}

{#- Vars that int_web__events is made by. -#}
{%- macro web_rules() -%}
    {%- if var('session_inactivity_minutes') | int > 720 -%}
        {{ exceptions.raise_compiler_error(
            "vars.session_inactivity_minutes is " ~ var('session_inactivity_minutes') ~ "; 720 (half a day) is the most: a day is done"
            ~ " again with the end of the day before it alone."
        ) }}
    {%- endif -%}
    {{ return([var('session_inactivity_minutes'), var('known_at')['web']]) }}
{%- endmacro -%}

{#-
    Pre-hook of int_web__events. Working tables:
        days             what is done again whole: the declared window, days of changed parts, and days on which another delivery of
                         a message of those parts lies, since another delivery may be the first one now
        elsewhere        deliveries on other days of messages that came more than once, to be ranked with
        carried          events of the days after, of devices that were there within the inactivity of midnight (and on, day by day,
                         for as long as they go on): their session may be another one
        before           events within the inactivity before the days: the session that may go on; an hour more, since where clocks are
                         set back a minute after midnight some of a day comes before its beginning
-#}
{%- macro forget_web_days() -%}
    {%- if not rows_stay(web_rules()) -%}
        {%- do forget_everything() -%}
    {%- else -%}
        {%- set minutes = var('session_inactivity_minutes') -%}
        {%- set staged = ref('stg_web__events') -%}
        {%- set changed, days = working_table('changed'), working_table('days') -%}
        {%- set touched, pairs, frontier = working_table('touched'), working_table('pairs'), working_table('frontier') -%}
        {%- set now = "select s.load_id, s.occurred_at from " ~ staged ~ " as s where s.event_type in ('page', 'track')" -%}
        {%- do collect_changed_parts(now, now) -%}

        {%- set touched_rows -%}
            select s.message_id, {{ local_date('s.occurred_at') }} as occurred_on
            from {{ staged }} as s
            inner join {{ changed }} as c on s.load_id = c.load_id and cast(s.occurred_at as date) = c.utc_day
            where s.event_type in ('page', 'track')
            union all
            select t.web_event_id as message_id, t.occurred_on
            from {{ this }} as t
            inner join {{ changed }} as c on t.load_id = c.load_id and cast(t.occurred_at as date) = c.utc_day
        {%- endset -%}
        {%- do create_working_table(touched, touched_rows) -%}
        {%- set touched_days -%}
            select t.occurred_on from {{ touched }} as t
            union distinct
            select t.occurred_on from {{ this }} as t where t.web_event_id in (select m.message_id from {{ touched }} as m)
        {%- endset -%}
        {%- do collect_days(touched_days) -%}

        {%- set elsewhere -%}
            select t.* from {{ this }} as t
            where t.n_deliveries > 1 and t.occurred_on not in (select d.occurred_on from {{ days }} as d)
        {%- endset -%}
        {%- do create_working_table(working_table('elsewhere'), elsewhere) -%}

        {%- set following -%}
            select distinct t.device, t.occurred_on
            from {{ this }} as t
            inner join (
                select
                    {{ add_days('d.occurred_on', 1) }} as occurred_on,
                    {{ add_minutes(local_midnight(add_days('d.occurred_on', 1)), minutes) }} as until_at
                from {{ days }} as d
            ) as next_days on t.occurred_on = next_days.occurred_on and t.occurred_at <= next_days.until_at
            where t.delivery = 1 and t.occurred_on not in (select d.occurred_on from {{ days }} as d)
        {%- endset -%}
        {%- do create_working_table(pairs, following) -%}
        {%- do create_working_table(frontier, 'select p.device, p.occurred_on from ' ~ pairs ~ ' as p') -%}
        {%- set rounds = run_query('select count(distinct occurred_on) from ' ~ this).rows[0][0] | int -%}
        {%- set chain = namespace(open=true) -%}
        {%- for round in range(rounds) -%}
            {%- if chain.open -%}
                {%- set next_pairs -%}
                    select distinct t.device, t.occurred_on
                    from {{ this }} as t
                    inner join (
                        select
                            f.device,
                            {{ add_days('f.occurred_on', 1) }} as occurred_on,
                            {{ add_minutes(local_midnight(add_days('f.occurred_on', 1)), minutes) }} as until_at
                        from {{ frontier }} as f
                    ) as next_days
                        on t.device = next_days.device and t.occurred_on = next_days.occurred_on and t.occurred_at <= next_days.until_at
                    where t.delivery = 1 and t.occurred_on not in (select d.occurred_on from {{ days }} as d)
                        and (t.device, t.occurred_on) not in (select p.device, p.occurred_on from {{ pairs }} as p)
                {%- endset -%}
                {%- do create_working_table(working_table('beyond'), next_pairs) -%}
                {%- do create_working_table(frontier, 'select b.device, b.occurred_on from ' ~ working_table('beyond') ~ ' as b') -%}
                {%- do run_query('insert into ' ~ pairs ~ ' select f.device, f.occurred_on from ' ~ frontier ~ ' as f') -%}
                {%- set chain.open = run_query('select count(*) from ' ~ frontier).rows[0][0] | int > 0 -%}
            {%- endif -%}
        {%- endfor -%}

        {%- set carried -%}
            select t.* from {{ this }} as t
            inner join {{ pairs }} as p on t.device = p.device and t.occurred_on = p.occurred_on
            where t.delivery = 1
        {%- endset -%}
        {%- do create_working_table(working_table('carried'), carried) -%}
        {%- set before -%}
            select t.*
            from {{ this }} as t
            inner join (
                select
                    {{ add_days('d.occurred_on', -1) }} as occurred_on,
                    {{ add_minutes(local_midnight('d.occurred_on'), -1 * minutes - 60) }} as from_at
                from {{ days }} as d
            ) as last_days on t.occurred_on = last_days.occurred_on and t.occurred_at >= last_days.from_at
            where t.delivery = 1 and t.occurred_on not in (select d.occurred_on from {{ days }} as d)
                and (t.device, t.occurred_on) not in (select p.device, p.occurred_on from {{ pairs }} as p)
        {%- endset -%}
        {%- do create_working_table(working_table('before'), before) -%}

        {%- do run_query(
            'delete from ' ~ this ~ ' where delivery = 1 and (device, occurred_on) in (select p.device, p.occurred_on from ' ~ pairs ~ ' as p)'
        ) -%}
        delete from {{ this }} where occurred_on in (select d.occurred_on from {{ days }} as d)
    {%- endif -%}
{%- endmacro -%}
