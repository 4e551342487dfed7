{#-
    What is counted per identifier and local day, declared: the one place to add a measure. It becomes a column of identifier_daily and
    of profile_daily (whose contracts, in their .yml, name it too) and counts from the first day on: the rollup sees that the
    declaration changed, and is made again.
-#}

{#-
    The facts that measures count, by name: `relation` and `where` say which rows, `on` their local day, `at` their instant; each has
    identifier_type, identifier_value and known_at. `content` are the columns by which a row is seen to have changed.
-#}
{% macro daily_facts() %}
    {{- return({
        'web': {
            'relation': 'int_web__events', 'where': 'delivery = 1', 'on': 'occurred_on', 'at': 'occurred_at',
            'fingerprint': 'fingerprint',
        },
        'email': {
            'relation': 'fct_email_events', 'on': 'occurred_on', 'at': 'occurred_at',
            'content': ['email_event_id', 'identifier_value', 'event_type', 'is_machine', 'occurred_at', 'known_at'],
        },
        'orders': {
            'relation': 'fct_orders', 'on': 'ordered_on', 'at': 'ordered_at',
            'content': [
                'order_id', 'identifier_type', 'identifier_value', 'is_purchase', 'net_quantity', 'net_revenue', 'ordered_at', 'known_at'
            ],
        },
        'shop_visits': {
            'relation': 'int_orders__lines', 'on': 'ordered_on', 'at': 'ordered_at',
            'where': "(order_type = 'sale' and excluded_reason = 'cancelled_order')
                or (order_type = 'return' and excluded_reason is null)",
            'content': ['order_line_id', 'identifier_type', 'identifier_value', 'ordered_at', 'known_at'],
        },
    }) -}}
{% endmacro %}


{#- Additive measures: rows of `fact` that satisfy `where` are counted, or `sum` of them is summed. -#}
{% macro declared_measures() %}
    {{- return({
        'n_sessions': {'fact': 'web', 'where': 'is_session_start'},
        'n_page_views': {'fact': 'web', 'where': "event_name = 'page'"},
        'n_product_views': {'fact': 'web', 'where': "event_name = 'Product Viewed'"},
        'n_cart_adds': {'fact': 'web', 'where': "event_name = 'Product Added'"},
        'n_checkouts': {'fact': 'web', 'where': "event_name = 'Checkout Started'"},
        'n_demo_requests': {'fact': 'web', 'where': "event_name = 'Demo Requested'"},
        'n_orders': {'fact': 'orders', 'where': 'is_purchase'},
        'n_items': {'fact': 'orders', 'where': 'is_purchase', 'sum': 'net_quantity'},
        'net_revenue': {'fact': 'orders', 'where': 'is_purchase', 'sum': 'net_revenue', 'type': 'numeric(18, 2)'},
        'n_emails_sent': {'fact': 'email', 'where': "event_type = 'sent'"},
        'n_emails_delivered': {'fact': 'email', 'where': "event_type = 'delivered'"},
        'n_human_opens': {'fact': 'email', 'where': "event_type = 'open' and not is_machine"},
        'n_human_clicks': {'fact': 'email', 'where': "event_type = 'click' and not is_machine"},
        'n_machine_opens': {'fact': 'email', 'where': "event_type = 'open' and is_machine"},
        'n_machine_clicks': {'fact': 'email', 'where': "event_type = 'click' and is_machine"},
        'n_unsubscribes': {'fact': 'email', 'where': "event_type = 'unsubscribe'"},
    }) -}}
{% endmacro %}


{#-
    Latest instants: of the rows of each fact named, those that satisfy its condition. Whoever ordered was there, even if all of it was
    cancelled or sent back later, and whoever brought something back was too.
-#}
{% macro declared_instants() %}
    {%- set human_email = "event_type in ('open', 'click') and not is_machine" -%}
    {{- return({
        'last_session_at': {'web': 'true'},
        'last_human_email_at': {'email': human_email},
        'last_human_activity_at': {'web': 'true', 'email': human_email, 'orders': 'true', 'shop_visits': 'true'},
    }) -}}
{% endmacro %}


{#- `function` of a column of the days of these facts, in identifier_daily. -#}
{% macro of_all_days(function, column, facts) -%}
    {{ function }}({% for fact in facts %}{{ fact }}_days.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}


{#- Names of the measures, in the order of their columns. -#}
{% macro daily_measures() %}
    {{- return(declared_measures().keys() | list) -}}
{% endmacro %}


{#- Type of a measure: bigint if it declares none. -#}
{% macro daily_measure_type(measure) %}
    {{- return(declared_measures()[measure].get('type', 'bigint')) -}}
{% endmacro %}


{#- Names of the instants, in the order of their columns. -#}
{% macro daily_instants() %}
    {{- return(declared_instants().keys() | list) -}}
{% endmacro %}


{#- query of (activity_on, fingerprint): the days of all facts, each with a number that changes when any row of it does. -#}
{% macro daily_fingerprints() -%}
    select parts.activity_on, cast(sum(parts.part) as numeric(38, 0)) as fingerprint
    from (
        {%- for name, fact in daily_facts().items() %}
        select
            facts.{{ fact.on }} as activity_on,
            sum(facts.part) as part
        from (
            select
                fact_rows.{{ fact.on }},
                {{ fact.fingerprint if fact.fingerprint else row_fingerprint(fact.content) }} as part
            from {{ ref(fact.relation) }} as fact_rows
            {%- if fact.where %}
            where {{ fact.where }}
            {%- endif %}
        ) as facts
        group by facts.{{ fact.on }}
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    ) as parts
    group by parts.activity_on
{%- endmacro %}


{#- What identifier_daily is made by besides its text. -#}
{% macro daily_rules() %}
    {{- return([declared_measures() | string, declared_instants() | string, daily_facts() | string]) -}}
{% endmacro %}


{#- Pre-hook of identifier_daily. Working table `days` (activity_on, fingerprint): those that differ from what was rolled up; null: gone. -#}
{%- macro forget_rolled_up_days() -%}
    {%- if not rows_stay(daily_rules()) -%}
        {%- do forget_everything() -%}
    {%- else -%}
        {%- set days -%}
            select coalesce(facts.activity_on, t.activity_on) as activity_on, facts.fingerprint
            from ({{ daily_fingerprints() }}) as facts
            full outer join (
                select stored.activity_on, max(stored.day_fingerprint) as fingerprint
                from {{ this }} as stored
                group by stored.activity_on
            ) as t on facts.activity_on = t.activity_on
            where facts.fingerprint is distinct from t.fingerprint
        {%- endset -%}
        {%- do create_working_table(working_table('days'), days) -%}
        delete from {{ this }} where activity_on in (select days.activity_on from {{ working_table('days') }} as days)
    {%- endif -%}
{%- endmacro -%}
