"""Back-test at the newest complete cut-off: what was said of the mails after it, beside how they were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_jobs.churn.evaluate import calibration_table, expected_calibration_error
from ml_jobs.engagement.config import EngagementConfig
from ml_jobs.engagement.features import TARGETS, TrainingSet
from ml_jobs.engagement.model import (
    LOGISTIC,
    METHODS,
    POPULATION,
    RAW_RATE,
    SIMPLE,
    EngagementModel,
    fit,
    own_rates_of,
    refuse_too_little,
)
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.gate import NotComparableError, Trial, best_of
from ml_jobs.io import from_micros
from ml_jobs.job import Validation, unchosen

if TYPE_CHECKING:
    import numpy as np


def split(rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    """(what was known at the newest cut-off, the newest cut-off): a label must have ended before it may teach.

    Raises:
        TrainingRefusedError: no cut-off is old enough.
    """
    if not len(rows.cutoff):
        raise TrainingRefusedError("the training set has no complete cut-off yet after which mail was sent")
    newest = rows.cutoff.max()
    known = rows.horizon_end <= newest
    if not known.any():
        raise TrainingRefusedError(
            "no cut-off's horizon had ended by the newest one: there is nothing to validate with"
        )
    return rows.rows(known), rows.rows(rows.cutoff == newest)


def merit(probability: np.ndarray, test: TrainingSet, target: int) -> np.ndarray:
    """Per person: the Brier score of their mails, with more being better, so that the mean is that of a mail.
    (people,)"""
    answered = test.answered[:, target]
    squares = answered * (1 - probability) ** 2 + (test.delivered - answered) * probability**2
    return -squares * (len(squares) / test.delivered.sum())


def _said(known: TrainingSet, test: TrainingSet, config: EngagementConfig) -> dict[str, np.ndarray]:
    """What each method, fitted on `known`, says of the people of `test`: float64 (people, 2) each."""
    return {method: fit(known, config, [method, method]).predict(test.people) for method in METHODS}


def _chosen(known: TrainingSet, config: EngagementConfig) -> list[str]:
    """The method for each target that did best at the cut-off before the newest.

    Raises:
        TrainingRefusedError: too little was known then.
    """
    before, test = split(known)
    refuse_too_little(test, config, "the cut-off before the newest")
    said = _said(before, test, config)
    return [
        max(METHODS, key=lambda name: float(merit(said[name][:, target], test, target).mean()))
        for target in range(len(TARGETS))
    ]


def evaluate(rows: TrainingSet, config: EngagementConfig) -> Validation:
    """Choose a method for each target at the cut-off before the newest, and measure it as on the day of the newest.

    One that does worse there than shrunk own rates gives way to these.

    Raises:
        TrainingRefusedError: too few cut-offs, too few answers before or after the newest one, or a leak.
    """
    import numpy as np

    known, test = split(rows)
    refuse_too_little(test, config, "the newest complete cut-off")
    chosen, note = None, {}
    try:
        chosen = _chosen(known, config)
    except TrainingRefusedError as error:
        note = unchosen(error)
    preferred = chosen or [LOGISTIC] * len(TARGETS)
    own = own_rates_of(known)
    said = _said(known, test, config) | {
        RAW_RATE: np.column_stack([one.raw(test.people, target) for target, one in enumerate(own)]),
        POPULATION: np.tile([one.rate for one in own], (len(test.delivered), 1)),
    }
    merits = {name: [merit(p[:, target], test, target) for target in range(len(TARGETS))] for name, p in said.items()}
    methods = [
        best_of({name: each[target] for name, each in merits.items()}, preferred[target], SIMPLE, config.gate)
        for target in range(len(TARGETS))
    ]
    n_cutoffs = len(set(rows.cutoff.tolist()))
    metrics: dict[str, Any] = {"n_mails": int(test.delivered.sum()), "n_cutoffs": n_cutoffs, **note}
    for target, what in enumerate(TARGETS):
        by_method = {name: _quality(p[:, target], test, target, config) for name, p in said.items()}
        if max(one["auc"] for one in by_method.values()) > config.max_plausible_auc:
            raise TrainingRefusedError(
                f"AUC {max(one['auc'] for one in by_method.values()):.3f} of {what}s after the held-out cut-off is too "
                "good to be true: a feature knows what happened after its cut-off"
            )
        metrics |= {f"{what}_{measure}": value for measure, value in by_method[methods[target]].items()}
        metrics |= {
            f"{what}_method": methods[target],
            f"{what}_method_chosen_before": chosen[target] if chosen else None,
            f"{what}_rate": round(float(test.answered[:, target].sum() / test.delivered.sum()), 6),
        }
        for name, numbers in by_method.items():
            metrics |= {f"{name}_{what}_{measure}": value for measure, value in numbers.items()}
    mine = sum(merits[method][target] for target, method in enumerate(methods))
    trial = Trial(
        began_at=from_micros(test.cutoff[0]),
        measure="Brier score of opens and clicks",
        merit=np.asarray(mine),
        rivals={
            name: np.asarray(sum(merits[name])) for name in (*SIMPLE, POPULATION, RAW_RATE) if [name, name] != methods
        },
        merit_of=lambda stored: _merit_of_stored(stored, test, config),
    )
    clicks = len(TARGETS) - 1
    rates = test.answered[:, clicks] / test.delivered
    bins = calibration_table(said[methods[clicks]][:, clicks], rates, config.n_bins)
    return Validation(metrics, len(test.delivered), trial, bins, choice=tuple(methods))


def _merit_of_stored(stored: dict[str, Any], test: TrainingSet, config: EngagementConfig) -> np.ndarray:
    """What a stored model would have said of the people of `test`."""
    import numpy as np

    model = EngagementModel.from_dict(stored)
    if model.features != config.features:
        raise NotComparableError("it reads other columns than the new one")
    said = model.predict(test.people)
    return np.asarray(sum(merit(said[:, target], test, target) for target in range(len(TARGETS))))


def _quality(probability: np.ndarray, test: TrainingSet, target: int, config: EngagementConfig) -> dict[str, float]:
    """AUC and Brier score of mails, and the expected calibration error of people."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    answered = test.answered[:, target]
    label, weight = np.repeat([1, 0], len(answered)), np.concatenate([answered, test.delivered - answered])
    bins = calibration_table(probability, answered / test.delivered, config.n_bins)
    return {
        "auc": round(float(roc_auc_score(label, np.tile(probability, 2), sample_weight=weight)), 6),
        "brier": round(-float(merit(probability, test, target).mean()), 6),
        "ece": round(expected_calibration_error(bins), 6),
    }
