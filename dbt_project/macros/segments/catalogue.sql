{#-
  What a condition may name: events with the facts they lie in, and the columns of a person with their relations. Types come from
  the contracts of those models.
-#}

{#-
  Facts by name: relation; `at` and `on`, its instant and local day; `only`, what a row must be; `tells`, the columns that tell its
  events apart; `columns`, what `where` may test, with types; `others`, those of them that another model knows (column → model, joined by).
-#}
{% macro segment_facts() -%}
    {{- return({
        'web': {
            'relation': 'fct_web_events', 'at': 'occurred_at', 'on': 'occurred_on', 'only': none, 'tells': ['event_name'],
            'columns': {
                'product_id': 'text', 'category': 'text', 'order_id': 'text', 'page_url': 'text', 'campaign_name': 'text',
                'session_id': 'text',
            },
        },
        'email': {
            'relation': 'fct_email_events', 'at': 'occurred_at', 'on': 'occurred_on', 'only': none,
            'tells': ['event_type', 'is_machine'],
            'columns': {'message_id': 'text', 'campaign_id': 'text', 'link_url': 'text', 'bounce_type': 'text'},
        },
        'orders': {
            'relation': 'fct_orders', 'at': 'ordered_at', 'on': 'ordered_on', 'only': none, 'tells': ['is_purchase'],
            'columns': {
                'order_id': 'text', 'channel': 'text', 'country': 'text', 'currency': 'text', 'net_quantity': 'number',
                'net_revenue': 'number',
            },
        },
        'lines': {
            'relation': 'fct_order_lines', 'at': 'ordered_at', 'on': 'ordered_on', 'only': 'facts.net_quantity > 0', 'tells': [],
            'columns': {
                'order_id': 'text', 'product_id': 'text', 'category': 'text', 'net_quantity': 'number', 'net_revenue': 'number',
            },
            'others': {'category': ['dim_products', 'product_id']},
        },
    }) -}}
{%- endmacro %}

{#-
  Events by name: fact, which of its rows (`is`), and where they are counted already: `daily`, the measure of profile_daily;
  `feature`, the windowed columns of profile_features; `human`, whether a machine may have done it.
-#}
{% macro segment_events() -%}
    {%- set events = {
        'Email Sent': {'fact': 'email', 'is': "events.event_type = 'sent'", 'daily': 'n_emails_sent'},
        'Email Delivered': {
            'fact': 'email', 'is': "events.event_type = 'delivered'", 'daily': 'n_emails_delivered', 'feature': 'emails_delivered',
        },
        'Email Opened': {
            'fact': 'email', 'is': "events.event_type = 'open'", 'daily': 'n_human_opens', 'feature': 'human_opens', 'human': true,
        },
        'Email Clicked': {
            'fact': 'email', 'is': "events.event_type = 'click'", 'daily': 'n_human_clicks', 'feature': 'human_clicks',
            'human': true,
        },
        'Email Bounced': {'fact': 'email', 'is': "events.event_type = 'bounce'"},
        'Email Complained': {'fact': 'email', 'is': "events.event_type = 'complaint'"},
        'Email Unsubscribed': {'fact': 'email', 'is': "events.event_type = 'unsubscribe'", 'daily': 'n_unsubscribes'},
        'Order Placed': {'fact': 'orders', 'is': 'events.is_purchase', 'feature': 'orders'},
        'Any Order': {'fact': 'orders', 'is': none},
        'Product Bought': {'fact': 'lines', 'is': none},
    } -%}
    {%- for name, counted in var('web_events').items() -%}
        {%- do events.update({name: dict({'fact': 'web', 'is': 'events.event_name = ' ~ quoted(name)}, **(counted or {}))}) -%}
    {%- endfor -%}
    {{- return(events) -}}
{%- endmacro %}

{#- Sums that are features already: (event, column) → name of the windowed feature. -#}
{% macro segment_sums() -%}
    {{- return({'Order Placed net_revenue': 'revenue', 'Order Placed net_quantity': 'items'}) -}}
{%- endmacro %}

{#- Relations with one row per person, and the columns of theirs that `prop` may name, with types; a name in none of them is a feature. -#}
{% macro person_relations() -%}
    {{- return({
        'lifecycle_stages': {'customer_stage': 'text', 'journey_stage': 'text'},
        'engagement_levels': {'engagement_level': 'text'},
        'rfm_scores': {
            'frequency': 'number', 'monetary': 'number', 'recency_score': 'number', 'frequency_score': 'number',
            'monetary_score': 'number', 'rfm_score': 'text', 'rfm_value': 'number', 'rfm_cell': 'text',
        },
        'dim_profiles': {
            'email': 'text', 'is_email_role': 'boolean', 'is_email_disposable': 'boolean', 'first_name': 'text', 'last_name': 'text',
            'gender': 'text', 'birth_year': 'number', 'city': 'text', 'country': 'text', 'time_zone': 'text', 'user_id': 'text',
            'source': 'text', 'signed_up_at': 'timestamp', 'first_seen_at': 'timestamp',
        },
    }) -}}
{%- endmacro %}

{% macro person_relation_of(column) -%}
    {%- for relation, columns in person_relations().items() if column in columns -%}{{- return(relation) -}}{%- endfor -%}
    {{- return('profile_features') -}}
{%- endmacro %}

{#- Column of a person → type: those above, and the features by their contract. Without a graph (in a unit test) the features are missing. -#}
{% macro person_columns() -%}
    {%- set found = {} -%}
    {%- set features = (graph.nodes or {}).get('model.' ~ project_name ~ '.profile_features') -%}
    {%- for column in (features.columns.values() if features else []) if column.name not in ['profile_id', 'as_of', 'known_at'] -%}
        {%- do found.update({column.name: type_of_contract(column.data_type)}) -%}
    {%- endfor -%}
    {%- for columns in person_relations().values() -%}{%- do found.update(columns) -%}{%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}

{#- A contract's data type → text, number, date, timestamp or boolean. -#}
{% macro type_of_contract(data_type) -%}
    {%- set data_type = (data_type or '') | lower -%}
    {{- return(
        'text' if data_type in ['text', 'string', 'varchar'] else 'timestamp' if data_type.startswith('timestamp')
        else data_type if data_type in ['date', 'boolean'] else 'number'
    ) -}}
{%- endmacro %}

{#- Type of a column of the person or of a fact's events; a name that is not there stops, with the nearest one. -#}
{% macro column_type(name, of, plan, value=none) -%}
    {%- if of not in plan.columns -%}
        {%- do plan.columns.update({of: person_columns() if of == 'person' else segment_facts()[of].columns}) -%}
    {%- endif -%}
    {%- set columns = plan.columns[of] -%}
    {%- if of == 'person' and not graph.nodes and name not in columns -%}
        {#- names say it: instants end in _at, dates in _on, booleans begin with is_ or has_ -#}
        {{- return(
            'timestamp' if name.endswith('_at') else 'date' if name.endswith('_on')
            else 'boolean' if name.startswith('is_') or name.startswith('has_') else 'text' if value is string else 'number'
        ) -}}
    {%- endif -%}
    {{- return(checked_name(name, columns, 'column of ' ~ ('the person' if of == 'person' else 'that event'))) -}}
{%- endmacro %}

{#- Models (not the clock) that a list of conditions reads, for dbt's graph; the same when parsed and when compiled. -#}
{% macro models_read(conditions) -%}
    {%- set found = [] -%}
    {%- for condition in conditions -%}
        {%- set op = condition.op -%}
        {%- if op == 'prop' -%}
            {%- do found.append(person_relation_of(condition.name)) -%}
            {%- if 'column' in condition.test -%}{%- do found.append(person_relation_of(condition.value)) -%}{%- endif -%}
        {%- elif op == 'interested_in' -%}
            {%- do found.append('profile_interests') -%}
        {%- elif op == 'can_receive' -%}
            {%- do found.append('dim_consent') -%}
        {%- elif op == 'anniversary' -%}
            {%- do found.extend([person_relation_of(condition.column), 'dim_profiles']) -%}
        {%- elif op in ['percent', 'number'] -%}
            {%- do found.append(person_relation_of(condition.property)) -%}
            {%- do found.extend(models_read(condition.among)) -%}
        {%- elif op in ['all_of', 'any_of', 'none_of', 'n_of'] -%}
            {%- do found.extend(models_read(condition.conditions)) -%}
        {%- elif op == 'hysteresis' -%}
            {%- do found.extend(['identity_successions'] + models_read([condition.enter, condition.leave])) -%}
        {%- elif op == 'in_segment' -%}
            {%- do found.append('seg_' ~ condition.name) -%}
        {%- elif op == 'has_been_in_stage' -%}
            {%- do found.append('lifecycle_transitions') -%}
        {%- elif op == 'is_static' -%}
            {%- do found.append('int_identity__identifier_profiles') -%}
        {%- elif op in ['entered', 'left', 'has_been_in', 'was_in'] -%}
            {%- do found.append('identity_successions') -%}
        {%- elif counted_by(condition).by == 'feature' -%}
        {%- elif counted_by(condition).by == 'daily' -%}
            {%- do found.append('profile_daily') -%}
        {%- else -%}
            {%- for one in condition.steps or [condition] -%}{%- do found.extend(fact_models(one.event)) -%}{%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(found | unique | list) -}}
{%- endmacro %}

{% macro fact_models(event) -%}
    {%- set known = segment_events().get(event) -%}
    {%- if known is none -%}{{- return([]) -}}{%- endif -%}
    {%- set fact = segment_facts()[known.fact] -%}
    {%- set models = [fact.relation] -%}
    {%- for other in (fact.others or {}).values() -%}{%- do models.append(other[0]) -%}{%- endfor -%}
    {{- return(models) -}}
{%- endmacro %}

{#-
  Where the events of a condition are counted already: a column of the features, a measure of the days, or (`by` fact) nowhere. Whole
  days and no further tests: what the rollup knows.
-#}
{% macro counted_by(condition) -%}
    {%- set event = segment_events().get(condition.event) or {} -%}
    {%- set fact = {'by': 'fact'} -%}
    {%- if condition.op not in ['did', 'total', 'regularly', 'trend'] or condition.where or condition.in_one -%}
        {{- return(fact) -}}
    {%- elif event.human and not condition.human -%}
        {{- return(fact) -}}
    {%- endif -%}
    {%- set feature = event.feature if condition.op == 'did'
        else segment_sums().get(condition.event ~ ' ' ~ condition.column) if condition.op == 'total' and condition.aggregate == 'sum' -%}
    {%- if condition.op in ['did', 'total'] -%}
        {%- set window = window_of(condition) -%}
        {%- if feature and window.kind == 'all' -%}
            {{- return({'by': 'feature', 'column': feature ~ '_lifetime'}) -}}
        {%- elif feature and window.kind == 'days' and window.near == 0 and window.far in feature_windows() -%}
            {{- return({'by': 'feature', 'column': feature ~ '_' ~ window.far ~ 'd'}) -}}
        {%- elif condition.op == 'did' and event.daily and window.kind != 'exact' -%}
            {{- return({'by': 'daily', 'measure': event.daily}) -}}
        {%- endif -%}
    {%- elif event.daily and (condition.op == 'regularly' or condition.aggregate == 'count') -%}
        {{- return({'by': 'daily', 'measure': event.daily}) -}}
    {%- endif -%}
    {{- return(fact) -}}
{%- endmacro %}

{#- Every model that some condition may read. -#}
{% macro models_of_the_vocabulary() -%}
    {%- set found = ['profile_features', 'profile_daily', 'profile_interests', 'dim_consent', 'lifecycle_transitions', 'int_identity__identifier_profiles', 'identity_successions'] -%}
    {%- do found.extend(person_relations()) -%}
    {%- for fact in segment_facts().values() -%}
        {%- do found.append(fact.relation) -%}
        {%- for other in (fact.others or {}).values() -%}{%- do found.append(other[0]) -%}{%- endfor -%}
    {%- endfor -%}
    {{- return(found | unique | list) -}}
{%- endmacro %}

{#- Vocabulary → the stages that lifecycle_stages gives. -#}
{% macro stages_of_people() -%}
    {{- return({
        'customer_stage': ['visitor', 'prospect', 'new_customer', 'active_customer', 'repeat_buyer', 'lapsed_customer'],
        'journey_stage': ['awareness', 'consideration', 'customer', 'loyalty'],
    }) -}}
{%- endmacro %}

{#- Names of all segments that have a model. -#}
{% macro segment_names_of_graph() -%}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name.startswith('seg_') -%}
        {%- do found.append(node.name[4:]) -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}
