{#-
  What share of a person's attention each item has, shrunk towards everybody's share by empirical Bayes.

  tallies: a relation or CTE with one row per person and item: profile_id, item, weight and squares (bigint: the sum of the weights
  of what the person did, and of their squares). Returns each of its rows with

  - share: weight of the item / weight of all that the person did (double precision, 0..1);
  - population_share: the same of everybody together;
  - evidence: how much the person's own share counts (double precision, 0..1);
  - shrunk_share: evidence * share + (1 - evidence) * population_share.

  People are draws from a Dirichlet distribution around the population's shares, whose concentration is (1 - rho) / rho: rho is 0
  where all are alike and 1 where everybody keeps to one item. It is estimated from how far people's shares lie apart, less what
  chance would do to as few acts as theirs (method of moments; Weir and Hill 2002, https://doi.org/10.1146/annurev.genet.36.050802.093940).
  A purchase that weighs three views is not three acts: a person counts for (sum of weights)^2 / (sum of squares) of them.

  Sums over people are of decimals: doubles would add up differently from build to build.
-#}
{% macro shrunk_shares(tallies) -%}
with items as (
    select
        tallies.item,
        cast(sum(tallies.weight) as bigint) as weight
    from {{ tallies }} as tallies
    group by tallies.item
),

population as (
    select
        sum(items.weight) as weight,
        {{ ratio('sum(cast(items.weight as numeric(19, 0)) * cast(items.weight as numeric(19, 0)))', 'sum(items.weight)') }}
        / nullif(cast(sum(items.weight) as double precision), 0) as sum_of_squares
    from items
),

counted as (
    select
        tallies.profile_id,
        cast(sum(tallies.weight) as double precision) as weight,
        cast(sum(tallies.squares) as double precision) as squares,
        cast(sum(cast(tallies.weight as numeric(19, 0)) * cast(tallies.weight as numeric(19, 0))) as double precision)
            as own_squares,
        cast(sum(cast(tallies.weight as numeric(19, 0)) * cast(items.weight as numeric(19, 0))) as double precision)
            as shared_squares
    from {{ tallies }} as tallies
    inner join items on tallies.item = items.item
    group by tallies.profile_id
    having sum(tallies.weight) > 0
),

-- how many acts, and the squared distance of the person's shares from the population's
people as (
    select
        counted.profile_id,
        counted.weight,
        counted.weight * counted.weight / counted.squares as n_acts,
        counted.own_squares / (counted.weight * counted.weight)
        - 2 * counted.shared_squares / (counted.weight * population.weight)
        + population.sum_of_squares as distance
    from counted
    cross join population
),

spread as (
    select
        {{ ratio(
            'sum(cast(people.n_acts * people.distance / nullif(1 - population.sum_of_squares, 0) - 1 as numeric(28, 9)))',
            'sum(cast(people.n_acts - 1 as numeric(28, 9)))'
        ) }} as rho
    from people
    cross join population
),

weighed as (
    select
        people.profile_id,
        people.weight,
        -- people of one act each, or a single item, cannot tell whether people differ
        people.n_acts * least(greatest(coalesce(spread.rho, 0), 0), 1) as pull,
        1 - least(greatest(coalesce(spread.rho, 0), 0), 1) as hold
    from people
    cross join spread
),

shares as (
    select
        tallies.profile_id,
        tallies.item,
        tallies.weight,
        tallies.weight / weighed.weight as share,
        {{ ratio('items.weight', 'population.weight') }} as population_share,
        weighed.pull / (weighed.pull + weighed.hold) as evidence
    from {{ tallies }} as tallies
    inner join weighed on tallies.profile_id = weighed.profile_id
    inner join items on tallies.item = items.item
    cross join population
)

select
    shares.*,
    shares.evidence * shares.share + (1 - shares.evidence) * shares.population_share as shrunk_share
from shares
{%- endmacro %}
