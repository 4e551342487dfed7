"""Time-based validation: the newest complete cut-off is held out, and nothing that was not known at it may teach."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.features import TrainingSet
from ml_jobs.churn.train import DAY, MEAN, SIMPLE, ChurnModel, fit, refuse_too_little
from ml_jobs.errors import HistoriesError, TrainingRefusedError
from ml_jobs.gate import NotComparableError, Trial, best_of
from ml_jobs.io import from_micros
from ml_jobs.job import Validation, unchosen
from ml_jobs.registry import CalibrationBin

if TYPE_CHECKING:
    import numpy as np


def calibration_table(probability: np.ndarray, churned: np.ndarray, n_bins: int) -> list[CalibrationBin]:
    """Equal-mass bins in the order of probability, ties by position; fewer bins than asked if there are fewer rows."""
    import numpy as np

    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, n_bins) if len(part)]
    return [
        CalibrationBin(
            number, len(part), round(float(probability[part].mean()), 6), round(float(churned[part].mean()), 6)
        )
        for number, part in enumerate(parts, start=1)
    ]


def expected_calibration_error(bins: list[CalibrationBin]) -> float:
    """Mean of |predicted − observed| over bins, by their size."""
    return sum(b.n * abs(b.mean_predicted - b.observed_rate) for b in bins) / max(sum(b.n for b in bins), 1)


def quality(probability: np.ndarray, churned: np.ndarray, n_bins: int) -> dict[str, float]:
    """AUC, Brier score, log loss and expected calibration error."""
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    return {
        "auc": round(float(roc_auc_score(churned, probability)), 6),
        "brier": round(float(brier_score_loss(churned, probability)), 6),
        "log_loss": round(float(log_loss(churned, probability, labels=[False, True])), 6),
        "ece": round(expected_calibration_error(calibration_table(probability, churned, n_bins)), 6),
    }


def split(rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    """(what was known at the newest cut-off, the newest cut-off): a label must have ended before it may teach.

    Raises:
        TrainingRefusedError: no cut-off is old enough.
    """
    import numpy as np

    if not len(rows.cutoff):
        raise TrainingRefusedError("the training set has no complete cut-off yet")
    newest = rows.cutoff.max()
    known = rows.horizon_end <= newest
    if not known.any():
        raise TrainingRefusedError(
            f"the training set has {len(np.unique(rows.cutoff))} complete cut-offs, "
            "and none whose horizon had ended by the newest one: there is nothing to validate with"
        )
    return rows.rows(known), rows.rows(rows.cutoff == newest)


def _merit(probability: np.ndarray, churned: np.ndarray) -> np.ndarray:
    """Per person: the Brier score's part, with more being better."""
    return -((probability - churned) ** 2)


def _merit_of_stored(stored: dict[str, Any], test: TrainingSet, config: ChurnConfig) -> np.ndarray:
    """What a stored model would have said of the people of `test`."""
    model = ChurnModel.from_dict(stored)
    absent = sorted(set(model.features) - set(config.features))
    if absent:
        raise NotComparableError(f"it reads {', '.join(absent)}, which the new one does not")
    horizon = round(int(test.horizon_end[0] - test.cutoff[0]) / DAY)
    if model.horizon_days not in (0, horizon):
        raise NotComparableError(f"it looks {model.horizon_days} days ahead, not {horizon}")
    if model.label != config.label:
        raise NotComparableError(f"it says of {model.label}, not of {config.label}")
    which = [config.features.index(name) for name in model.features]
    return _merit(model.predict(test.features[:, which]), test.churned)


def _asked(models: Mapping[str, ChurnModel], test: TrainingSet) -> dict[str, np.ndarray]:
    """What each method says of the people of `test`; BG/NBD nothing, where their histories cannot be."""
    said: dict[str, np.ndarray] = {}
    for name, model in models.items():
        with contextlib.suppress(HistoriesError):
            said[name] = model.predict(test.features)
    return said


def _chosen(known: TrainingSet, config: ChurnConfig) -> str:
    """The method that did best at the cut-off before the newest.

    Raises:
        TrainingRefusedError: too little was known then.
    """
    before, test = split(known)
    refuse_too_little(test, config, "the cut-off before the newest")
    models = fit(before, config)
    merits = {name: float(_merit(said, test.churned).mean()) for name, said in _asked(models, test).items()}
    return max(merits, key=lambda name: merits[name])


def evaluate(rows: TrainingSet, config: ChurnConfig) -> Validation:
    """Choose a method at the cut-off before the newest, and measure it, and the others, as on the day of the newest.

    A method that does worse there than a simple one gives way to it.

    Raises:
        TrainingRefusedError: too few cut-offs, too few buyers of either outcome before or at the newest one, or a leak.
    """
    known, test = split(rows)
    refuse_too_little(test, config, "the newest complete cut-off")
    chosen, note = None, {}
    try:
        chosen = _chosen(known, config)
    except TrainingRefusedError as error:
        note = unchosen(error)
    models = fit(known, config)
    probabilities = _asked(models, test)
    merits = {name: _merit(values, test.churned) for name, values in probabilities.items()}
    simple = [name for name in SIMPLE if name in merits]
    method = best_of(merits, chosen if chosen in merits else MEAN, simple, config.gate)
    measured = {name: quality(values, test.churned, config.n_bins) for name, values in probabilities.items()}
    if max(one["auc"] for one in measured.values()) > config.max_plausible_auc:
        raise TrainingRefusedError(
            f"AUC {max(one['auc'] for one in measured.values()):.3f} on the held-out cut-off is too good to be true: "
            "a feature of churn_training_set knows what happened after its cut-off"
        )
    metrics: dict[str, Any] = {
        **measured[method],
        "method": method,
        "method_chosen_before": chosen,
        **note,
        "base_rate": round(float(test.churned.mean()), 6),
        "base_rate_before": round(float(known.churned.mean()), 6),
        "n_cutoffs": len(set(rows.cutoff.tolist())),
        "n_cutoffs_before_test": len(set(known.cutoff.tolist())),
    }
    for name, numbers in measured.items():
        metrics |= {f"{name}_{measure}": value for measure, value in numbers.items()}
    trial = Trial(
        began_at=from_micros(test.cutoff[0]),
        measure="Brier score",
        merit=merits[method],
        rivals={name: merits[name] for name in simple if name != method},
        merit_of=lambda stored: _merit_of_stored(stored, test, config),
    )
    bins = calibration_table(probabilities[method], test.churned, config.n_bins)
    return Validation(metrics, len(test.churned), trial, bins, choice=method)
