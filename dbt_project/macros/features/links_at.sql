{#-
    Who was who: (cutoff_number, identifier_type, identifier_value, profile_id, linked_at, is_resolved_again), one row per identifier
    that a build at the cut-off would have given a profile. `cutoffs` is a relation of macro cutoffs_at.

    Most profiles were then what they are now. The others are resolved again from the edges seen by then: two that a later purchase
    made one are two, each under the name that the registry's rule gives it; a visitor tied to a person later is a visitor; one
    tied to several persons by now may have been one's. linked_at is null where it dates nothing.

    Limits: budgets, blocks, rules and the size limit hold as they do now; an identifier is an office's or disposable as it is now; and
    a chain of far more than 2^rounds edges falls apart.
-#}
{%- macro links_at(cutoffs, is_now=false) -%}
{%- set rounds = 5 -%}
{%- if is_now -%}
select
    cutoffs.cutoff_number,
    links.identifier_type,
    links.identifier_value,
    links.profile_id,
    links.linked_at,
    false as is_resolved_again
from {{ cutoffs }} as cutoffs
inner join {{ ref('int_identity__identifier_profiles') }} as links
    on cutoffs.as_of > links.linked_at and cutoffs.known_at >= links.linked_at
{%- else -%}
with past as (
    select * from {{ cutoffs }}
    where is_past
),

links as {{ in_place() }} (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

identifiers as {{ in_place() }} (
    select * from {{ ref('int_identity__identifiers') }}
),

edges as {{ in_place() }} (
    select * from {{ ref('int_identity__edges') }}
    where is_active
),

late_sightings as {{ in_place() }} (
    select * from {{ ref('int_features__late_sightings') }}
),

attachments as {{ in_place() }} (
    select * from {{ ref('int_identity__attachments') }}
),

registry as {{ in_place() }} (
    select * from {{ ref('identity_registry') }}
    where assigned_until is null
),

-- what arrived after it happened
late_evidence as (
    select
        late_sightings.identifier_type,
        late_sightings.identifier_value,
        late_sightings.seen_at as first_seen_at,
        late_sightings.available_at
    from late_sightings
    {%- for side in ['left', 'right'] %}
    union all
    select
        edges.{{ side }}_type as identifier_type,
        edges.{{ side }}_value as identifier_value,
        edges.first_seen_at,
        edges.available_at
    from edges
    where edges.available_at > {{ add_microseconds('edges.first_seen_at', 1) }}
    {%- endfor %}
),

-- of several persons by now
shared as (
    select
        beside_shared.identifier_type,
        beside_shared.identifier_value,
        min(beside_shared.first_seen_at) as first_seen_at,
        max(beside_shared.first_seen_at) as last_seen_at
    from (
        {%- for side in ['left', 'right'] %}
        select
            attachments.identifier_type,
            attachments.identifier_value,
            edges.first_seen_at
        from attachments
        inner join edges on attachments.node_key = edges.{{ side }}_key
        where attachments.is_shared
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    ) as beside_shared
    group by beside_shared.identifier_type, beside_shared.identifier_value
),

-- a profile was something else for a cut-off after seen_at, until settled_at or until known_from
spans as (
    select
        links.profile_id,
        links.first_seen_at as seen_at,
        links.linked_at as settled_at,
        cast(null as timestamp) as known_from
    from links
    where links.linked_at > links.first_seen_at
    union all
    select
        links.profile_id,
        late_evidence.first_seen_at as seen_at,
        cast(null as timestamp) as settled_at,
        late_evidence.available_at as known_from
    from late_evidence
    inner join links
        on
            late_evidence.identifier_type = links.identifier_type
            and late_evidence.identifier_value = links.identifier_value
    union all
    select
        links.profile_id,
        shared.first_seen_at as seen_at,
        shared.last_seen_at as settled_at,
        cast(null as timestamp) as known_from
    from shared
    inner join links
        on shared.identifier_type = links.identifier_type and shared.identifier_value = links.identifier_value
),

touched as (
    select distinct
        past.cutoff_number,
        past.as_of,
        past.known_at,
        spans.profile_id
    from past
    inner join spans
        on
            past.as_of > spans.seen_at
            and (past.as_of <= spans.settled_at or past.known_at < spans.known_from)
),

-- their identifiers, of those that had been seen
unsettled as (
    select
        touched.cutoff_number,
        touched.as_of,
        touched.known_at,
        touched.profile_id,
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.tier,
        identifiers.stands_alone,
        identifiers.first_seen_at
    from touched
    inner join links on touched.profile_id = links.profile_id
    inner join identifiers
        on
            links.identifier_type = identifiers.identifier_type
            and links.identifier_value = identifiers.identifier_value
            and touched.as_of > identifiers.first_seen_at
            and touched.known_at >= identifiers.available_at
),

-- what is known of their first time by now may not have been known then
first_seen_then as (
    select
        unsettled.cutoff_number,
        unsettled.node_key,
        min(late_sightings.seen_at) as first_seen_at
    from unsettled
    inner join late_sightings
        on
            unsettled.identifier_type = late_sightings.identifier_type
            and unsettled.identifier_value = late_sightings.identifier_value
            and unsettled.as_of > late_sightings.seen_at
            and unsettled.known_at >= late_sightings.available_at
    group by unsettled.cutoff_number, unsettled.node_key
),

dated as (
    select
        unsettled.cutoff_number,
        unsettled.as_of,
        unsettled.known_at,
        unsettled.profile_id,
        unsettled.node_key,
        unsettled.identifier_type,
        unsettled.identifier_value,
        unsettled.tier,
        unsettled.stands_alone,
        coalesce(first_seen_then.first_seen_at, unsettled.first_seen_at) as first_seen_at
    from unsettled
    left join first_seen_then
        on
            unsettled.cutoff_number = first_seen_then.cutoff_number
            and unsettled.node_key = first_seen_then.node_key
),

bridges as (
    select * from dated
    where tier = 'bridge'
),

near as (
    {%- for own, other in [('left', 'right'), ('right', 'left')] %}
    select
        bridges.cutoff_number,
        bridges.node_key,
        neighbours.node_key as neighbour_key
    from bridges
    inner join edges
        on
            bridges.node_key = edges.{{ own }}_key
            and bridges.as_of > edges.first_seen_at
            and bridges.known_at >= edges.available_at
    inner join bridges as neighbours
        on
            edges.{{ other }}_key = neighbours.node_key
            and bridges.cutoff_number = neighbours.cutoff_number
            and bridges.profile_id = neighbours.profile_id
    where edges.tier = 'bridge'
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- every bridge takes the least of itself and its neighbours for label, then its label's label
labels_0 as (
    select
        bridges.cutoff_number,
        bridges.node_key,
        bridges.node_key as label
    from bridges
),
{% for i in range(1, rounds + 1) %}
taken_{{ i }} as (
    select
        near.cutoff_number,
        near.node_key,
        min(labels.label) as label
    from near
    inner join labels_{{ i - 1 }} as labels
        on near.cutoff_number = labels.cutoff_number and near.neighbour_key = labels.node_key
    group by near.cutoff_number, near.node_key
),

moved_{{ i }} as (
    select
        labels.cutoff_number,
        labels.node_key,
        least(labels.label, taken.label) as label
    from labels_{{ i - 1 }} as labels
    left join taken_{{ i }} as taken
        on labels.cutoff_number = taken.cutoff_number and labels.node_key = taken.node_key
),

labels_{{ i }} as (
    select
        moved.cutoff_number,
        moved.node_key,
        least(moved.label, ahead.label) as label
    from moved_{{ i }} as moved
    inner join moved_{{ i }} as ahead
        on moved.cutoff_number = ahead.cutoff_number and moved.label = ahead.node_key
),
{% endfor %}
-- a component is called after its earliest registered bridge, as in identity_registry
ranked as (
    select
        labels.cutoff_number,
        labels.label,
        bridges.first_seen_at,
        {{ node_hash('bridges.identifier_type', 'bridges.identifier_value') }} as profile_id,
        row_number() over (
            partition by labels.cutoff_number, labels.label
            order by
                registry.registered_at asc nulls last,
                -- registered since: as a build at the cut-off would have registered it
                case when registry.registered_at < bridges.as_of then registry.registered_first_seen_at
                    else bridges.first_seen_at
                end asc nulls last,
                {{ node_hash('bridges.identifier_type', 'bridges.identifier_value') }} asc
        ) as position
    from labels_{{ rounds }} as labels
    inner join bridges on labels.cutoff_number = bridges.cutoff_number and labels.node_key = bridges.node_key
    left join registry
        on
            bridges.identifier_type = registry.identifier_type
            and bridges.identifier_value = registry.identifier_value
    where bridges.stands_alone
),

persons as (
    select
        labels.cutoff_number,
        labels.node_key,
        ranked.profile_id,
        ranked.first_seen_at as linked_at
    from labels_{{ rounds }} as labels
    inner join ranked
        on labels.cutoff_number = ranked.cutoff_number and labels.label = ranked.label and ranked.position = 1
),

attached as (
    select * from dated
    where tier = 'attach'
),

seen_beside as (
    {%- for own, other in [('left', 'right'), ('right', 'left')] %}
    select
        attached.cutoff_number,
        attached.as_of,
        attached.known_at,
        attached.node_key,
        edges.{{ other }}_key as neighbour_key
    from attached
    inner join edges
        on
            attached.node_key = edges.{{ own }}_key
            and attached.as_of > edges.first_seen_at
            and attached.known_at >= edges.available_at
    where edges.tier = 'attach'
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- attached ones beside them, whose persons count too
beside_through as (
    {%- for own, other in [('left', 'right'), ('right', 'left')] %}
    select
        seen_beside.cutoff_number,
        seen_beside.neighbour_key as node_key,
        edges.{{ other }}_key as neighbour_key
    from seen_beside
    inner join identifiers on seen_beside.neighbour_key = identifiers.node_key and identifiers.tier = 'attach'
    inner join edges
        on
            seen_beside.neighbour_key = edges.{{ own }}_key
            and seen_beside.as_of > edges.first_seen_at
            and seen_beside.known_at >= edges.available_at
    where edges.tier = 'attach'
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

beside as (
    select
        seen_beside.cutoff_number,
        seen_beside.node_key,
        seen_beside.neighbour_key
    from seen_beside
    union distinct
    select
        beside_through.cutoff_number,
        beside_through.node_key,
        beside_through.neighbour_key
    from beside_through
),

-- the person of a bridge beside them: resolved again, or as it is now
persons_beside as (
    select
        beside.cutoff_number,
        beside.node_key,
        min(coalesce(persons.profile_id, links.profile_id)) as profile_id,
        count(distinct coalesce(persons.profile_id, links.profile_id)) as n_owners
    from beside
    inner join identifiers on beside.neighbour_key = identifiers.node_key and identifiers.tier = 'bridge'
    left join persons on beside.cutoff_number = persons.cutoff_number and beside.neighbour_key = persons.node_key
    left join links
        on
            identifiers.identifier_type = links.identifier_type
            and identifiers.identifier_value = links.identifier_value
    left join touched on beside.cutoff_number = touched.cutoff_number and links.profile_id = touched.profile_id
    where persons.profile_id is not null or touched.profile_id is null
    group by beside.cutoff_number, beside.node_key
),

persons_through as (
    select
        beside.cutoff_number,
        beside.node_key,
        min(others.profile_id) as profile_id,
        count(distinct others.profile_id) as n_owners
    from beside
    inner join persons_beside as others
        on
            beside.cutoff_number = others.cutoff_number
            and beside.neighbour_key = others.node_key
            and others.n_owners = 1
    group by beside.cutoff_number, beside.node_key
),

resolved_again as (
    select
        bridges.cutoff_number,
        bridges.identifier_type,
        bridges.identifier_value,
        persons.profile_id,
        persons.linked_at
    from bridges
    inner join persons on bridges.cutoff_number = persons.cutoff_number and bridges.node_key = persons.node_key
    union all
    select
        attached.cutoff_number,
        attached.identifier_type,
        attached.identifier_value,
        case
            when coalesce(persons_beside.n_owners, persons_through.n_owners) = 1
                then coalesce(persons_beside.profile_id, persons_through.profile_id)
            else {{ node_hash('attached.identifier_type', 'attached.identifier_value') }}
        end as profile_id,
        case
            when coalesce(persons_beside.n_owners, persons_through.n_owners) = 1 then null
            else attached.first_seen_at
        end as linked_at
    from attached
    left join persons_beside
        on attached.cutoff_number = persons_beside.cutoff_number and attached.node_key = persons_beside.node_key
    left join persons_through
        on attached.cutoff_number = persons_through.cutoff_number and attached.node_key = persons_through.node_key
    where coalesce(persons_beside.n_owners, persons_through.n_owners) = 1 or attached.stands_alone
)

select
    cutoffs.cutoff_number,
    links.identifier_type,
    links.identifier_value,
    links.profile_id,
    links.linked_at,
    false as is_resolved_again
from {{ cutoffs }} as cutoffs
inner join links on cutoffs.as_of > links.linked_at and cutoffs.known_at >= links.linked_at
left join touched on cutoffs.cutoff_number = touched.cutoff_number and links.profile_id = touched.profile_id
where touched.profile_id is null
union all
select
    resolved_again.cutoff_number,
    resolved_again.identifier_type,
    resolved_again.identifier_value,
    resolved_again.profile_id,
    resolved_again.linked_at,
    true as is_resolved_again
from resolved_again
{%- endif %}
{%- endmacro -%}
