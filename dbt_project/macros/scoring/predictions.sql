{#-
  rows: the newest prediction of each profile, or of each profile and value of the columns `grain`; of who is a profile no more, none.

  predictions: a relation or CTE with profile_id, as_of, trained_at, model_version and `grain`; clock: that of source control.
  A prediction from the future is a leak, and one older than var prediction_max_age_days no longer a prediction.
  Returns the columns of predictions, and recency, which is 1.
-#}
{%- macro newest_predictions(predictions, profiles, clock, grain=[]) -%}
select ranked.*
from (
    select
        predictions.*,
        row_number() over (
            partition by predictions.profile_id{% for column in grain %}, predictions.{{ column }}{% endfor %}
            order by
                predictions.as_of desc nulls last,
                predictions.trained_at desc nulls last,
                predictions.model_version desc nulls last
        ) as recency
    from {{ predictions }} as predictions
    inner join {{ profiles }} as profiles
        on predictions.profile_id = profiles.profile_id
    cross join {{ clock }} as clock
    where
        predictions.as_of <= clock.as_of
        and predictions.as_of > {{ add_hours('clock.as_of', -24 * var('prediction_max_age_days')) }}
) as ranked
where ranked.recency = 1
{%- endmacro -%}
