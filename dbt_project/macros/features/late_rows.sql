{#-
    What had happened before a cut-off and was known only after it (as_of, known_at, source, row_id, identifier_type, identifier_value,
    occurred_at, known_from): all that makes features at (as_of, known_at) differ from those at the same as_of with all that is
    known now. A late web event moves sessions for whoever else is in its session. source is 'web', 'email', 'order' (a late, repeated
    or corrected delivery: row_id is the order, of whoever it changes something for), 'identifier' (a sighting) or 'edge' (two
    identifiers seen together: a row for each). `cutoffs` is a relation with as_of and known_at.
-#}
{%- macro late_rows(cutoffs) -%}
with cutoffs as (
    {{ cutoffs_at(cutoffs) | indent(4) }}
),

web_events as (
    select * from {{ ref('fct_web_events') }}
),

email_events as (
    select * from {{ ref('fct_email_events') }}
),

unsettled as (
    select * from {{ ref('int_features__unsettled_orders') }}
),

late_sightings as (
    select * from {{ ref('int_features__late_sightings') }}
),

edges as (
    select * from {{ ref('int_identity__edges') }}
    where is_active
),

arrivals as (
    select
        'web' as source,
        web_events.web_event_id as row_id,
        web_events.identifier_type,
        web_events.identifier_value,
        web_events.occurred_at,
        web_events.known_at as known_from
    from web_events
    union all
    select
        'email' as source,
        email_events.email_event_id as row_id,
        email_events.identifier_type,
        email_events.identifier_value,
        email_events.occurred_at,
        email_events.known_at as known_from
    from email_events
    union all
    select
        'order' as source,
        unsettled.order_id as row_id,
        unsettled.identifier_type,
        unsettled.identifier_value,
        unsettled.happened_at as occurred_at,
        unsettled.known_through as known_from
    from unsettled
    union all
    select
        'identifier' as source,
        late_sightings.identifier_value as row_id,
        late_sightings.identifier_type,
        late_sightings.identifier_value,
        late_sightings.seen_at as occurred_at,
        late_sightings.available_at as known_from
    from late_sightings
    {%- for own, other in [('left', 'right'), ('right', 'left')] %}
    union all
    select
        'edge' as source,
        edges.{{ other }}_type || ':' || edges.{{ other }}_value as row_id,
        edges.{{ own }}_type as identifier_type,
        edges.{{ own }}_value as identifier_value,
        edges.first_seen_at as occurred_at,
        edges.available_at as known_from
    from edges
    {%- endfor %}
),

final as (
    select
        cutoffs.as_of,
        cutoffs.known_at,
        arrivals.source,
        arrivals.row_id,
        arrivals.identifier_type,
        arrivals.identifier_value,
        arrivals.occurred_at,
        arrivals.known_from
    from cutoffs
    inner join arrivals on cutoffs.as_of > arrivals.occurred_at and cutoffs.known_at < arrivals.known_from
)

select * from final
{%- endmacro -%}
