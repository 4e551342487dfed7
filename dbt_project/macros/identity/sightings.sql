{#-
    timestamp: the first instant that, as as_of and known_at, shows a row of the relation. `event_at` is its column that as_of is
    compared with; what happens at as_of is the future, what arrives at known_at is known.
-#}
{%- macro available_at(relation, event_at) -%}
    greatest({{ add_microseconds(relation ~ '.' ~ event_at, 1) }}, {{ relation }}.known_at)
{%- endmacro -%}

{#-
    select of (identifier_type, identifier_value, mailbox, source, is_role, is_disposable, seen_at, available_at): the identifiers that
    a relation carries. `columns` is a list of (identifier type, instant column); a type is also the name of its column. `event_at`
    is the column that decides whether the row is visible, if it is not the instant.
-#}
{%- macro sightings(relation, source, columns, event_at=none) -%}
    {%- for identifier_type, seen_at in columns %}
    select
        '{{ identifier_type }}' as identifier_type,
        {{ relation }}.{{ identifier_type }} as identifier_value,
        {{ relation ~ '.mailbox' if identifier_type == 'email' else 'cast(null as text)' }} as mailbox,
        '{{ source }}' as source,
        {{ relation ~ '.is_email_role' if identifier_type == 'email' else 'false' }} as is_role,
        {{ relation ~ '.is_email_disposable' if identifier_type == 'email' else 'false' }} as is_disposable,
        {{ relation }}.{{ seen_at }} as seen_at,
        {{ available_at(relation, event_at or seen_at) }} as available_at
    from {{ relation }}
    where {{ relation }}.{{ identifier_type }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro -%}

{#-
    select, as of macro sightings: the identifiers that the sources state, from relations named contacts, customers, signups, orders,
    web_events, email_events and consent_events, with the columns of their staging models.
-#}
{%- macro stated_sightings() -%}
    {{ sightings('contacts', 'crm_contact', [
        ('contact_id', 'created_at'), ('email', 'updated_at'), ('user_id', 'updated_at'), ('phone', 'updated_at')],
        event_at='updated_at') }}
    union all
    {{ sightings('customers', 'shop_customer', [
        ('customer_id', 'created_at'), ('email', 'updated_at'), ('user_id', 'updated_at'), ('phone', 'updated_at'),
        ('loyalty_card', 'updated_at')], event_at='updated_at') }}
    union all
    {{ sightings('signups', 'newsletter_signup', [('email', 'submitted_at'), ('anonymous_id', 'submitted_at')]) }}
    union all
    {{ sightings('orders', 'shop_order', [
        ('customer_id', 'ordered_at'), ('user_id', 'ordered_at'), ('email', 'ordered_at'), ('loyalty_card', 'ordered_at')]) }}
    union all
    {{ sightings('web_events', 'web_event', [
        ('user_id', 'occurred_at'), ('anonymous_id', 'occurred_at'), ('email', 'occurred_at'), ('device_id', 'occurred_at')]) }}
    union all
    {{ sightings('email_events', 'email_event', [('email', 'occurred_at')]) }}
    union all
    {{ sightings('consent_events', 'consent_event', [('email', 'occurred_at')]) }}
{%- endmacro -%}

{#-
    select of (left_type, left_value, right_type, right_value, source, seen_at, available_at): two identifiers in one row.
    `pairs` is a list of (left type, right type, instant column), the left type first in the alphabet; a type is also the name of
    its column.
-#}
{%- macro observed_edges(relation, source, pairs) -%}
    {%- for left_type, right_type, seen_at in pairs %}
    {%- if left_type >= right_type -%}
        {{ exceptions.raise_compiler_error("observed_edges: " ~ left_type ~ " has to come after " ~ right_type) }}
    {%- endif %}
    select
        '{{ left_type }}' as left_type,
        {{ relation }}.{{ left_type }} as left_value,
        '{{ right_type }}' as right_type,
        {{ relation }}.{{ right_type }} as right_value,
        '{{ source }}' as source,
        {{ relation }}.{{ seen_at }} as seen_at,
        {{ available_at(relation, seen_at) }} as available_at
    from {{ relation }}
    where {{ relation }}.{{ left_type }} is not null and {{ relation }}.{{ right_type }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro -%}

{#- list of text: the kinds of record that show two identifiers together; `provider_rules`: two spellings of a mailbox; `rule`: somebody's decision. -#}
{%- macro identity_sources() -%}
    {{ return(['crm_contact', 'newsletter_signup', 'provider_rules', 'rule', 'shop_customer', 'shop_order', 'web_event']) }}
{%- endmacro -%}
