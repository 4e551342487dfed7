{#-
    The cut-offs of a relation (as_of timestamp, known_at timestamp), as the macros *_at take them: what happened before as_of and
    was known by known_at. Any instants, in any number; equal pairs count once.

    cutoff_number (bigint) stands for the pair in joins. as_of_on is the local day of the last instant before as_of. is_past says
    that the clock stands later by either hand: only then is there anything that a build at the cut-off would not have seen.
    cuts_a_day says that there may be more of the day as_of_on than a build at the cut-off would have seen.
-#}
{%- macro cutoffs_at(cutoffs) -%}
with given as (
    select distinct
        wanted.as_of,
        wanted.known_at
    from {{ cutoffs }} as wanted
),

dated as (
    select
        row_number() over (order by given.as_of asc, given.known_at asc) as cutoff_number,
        given.as_of,
        given.known_at,
        {{ local_date(add_microseconds('given.as_of', -1)) }} as as_of_on
    from given
)

select
    dated.cutoff_number,
    dated.as_of,
    dated.known_at,
    dated.as_of_on,
    dated.as_of < clock.as_of or dated.known_at < clock.known_at as is_past,
    dated.as_of < clock.as_of and dated.as_of < {{ local_midnight(add_days('dated.as_of_on', 1)) }} as cuts_a_day
from dated
cross join {{ source('control', 'clock') }} as clock
{%- endmacro -%}
