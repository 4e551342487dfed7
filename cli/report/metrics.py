"""Model metrics beside those of their simplest rivals, as rows for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.report.data import Row


@dataclass(frozen=True)
class Measure:
    """One metric of a model and of its baselines; None where there is none."""

    name: str
    meaning: str
    model: float
    baselines: tuple[tuple[str, str, float | None], ...]
    """(name, short name, value) of each."""


@dataclass(frozen=True)
class ModelCard:
    """One model as it was measured on time that it had not seen."""

    job: str
    model_version: str
    as_of: Any
    n_train: int
    n_test: int
    measures: tuple[Measure, ...]
    note: str


_MEASURES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "recommendations": (
        ("hr_at_3", "hit rate at 3", "bought one of the three in the next weeks; higher is better"),
        ("ndcg_at_10", "NDCG at 10", "order of the ten; higher is better"),
        ("new_hr_at_3", "hit rate at 3, new items", "items never bought before by that person"),
    ),
    "churn": (
        ("auc", "AUC", "ranks churners above others; higher is better"),
        ("brier", "Brier score", "squared error of the probability; lower is better"),
        ("ece", "calibration error", "predicted minus observed rate; lower is better"),
    ),
    "lifetime_value": (
        ("deviance", "deviance of revenue", "1 is to expect the true mean of everybody; lower is better"),
    ),
    "send_time": (("log_loss", "log loss per mail", "surprise at who clicked; lower is better"),),
    "engagement": (
        ("open_brier", "Brier score of opens", "squared error of the probability; lower is better"),
        ("click_brier", "Brier score of clicks", "squared error of the probability; lower is better"),
        ("click_ece", "calibration error of clicks", "predicted minus observed rate; lower is better"),
    ),
}
_BASELINES = {
    "recommendations": (
        ("own_frequency_", "own purchases again", "again"),
        ("recent_popularity_", "most popular", "popular"),
        ("ease_", "EASE", "EASE"),
    ),
    "churn": (("recency_", "recency alone", "recency"), ("rfm_logistic_", "logistic on RFM", "RFM logit")),
    "lifetime_value": (("all_the_same_", "all the same", "same"), ("as_before_", "as before", "before")),
    "send_time": (("population_", "everybody's rates", "all"), ("own_rate_", "own rate at any hour", "own rate")),
    "engagement": (("population_", "everybody's rate", "all"), ("raw_rate_", "own rate as it is", "own rate")),
}


def model_cards(rows: Sequence[Row]) -> list[ModelCard]:
    """A card per row of `ml.model_runs`; a refused training has no measures, and says why."""
    return [_card(row) for row in rows]


def _card(row: Row) -> ModelCard:
    metrics, job = row["metrics"], row["job"]
    measures = [
        Measure(
            name,
            meaning,
            float(metrics[key]),
            tuple(
                (label, short, _number(metrics.get(prefix + key))) for prefix, label, short in _BASELINES.get(job, ())
            ),
        )
        for key, name, meaning in _MEASURES.get(job, ())
        if _number(metrics.get(key)) is not None
    ]
    notes = [str(metrics[key]) for key in ("note", "refused", "reason") if metrics.get(key)]
    if row["is_live"] is False and row["decision"]:
        notes.append(f"no model is live: {row['decision']}")
    if "base_rate" in metrics:
        notes.append(f"{100 * float(metrics['base_rate']):.1f}% of the held-out buyers churned")
    interval = metrics.get("hr_at_3_minus_own_frequency_95")
    if interval:
        notes.append(f"hit rate minus own purchases again: 95% interval {interval[0]:+.3f} to {interval[1]:+.3f}")
    return ModelCard(
        job, row["model_version"], row["as_of"], row["n_train"], row["n_test"], tuple(measures), "; ".join(notes)
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
