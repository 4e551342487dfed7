"""Time-based validation: the newest complete cut-off is held out, and nothing that was not known at it may teach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.features import TrainingSet
from ml_jobs.churn.train import fit, refuse_too_little
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.registry import CalibrationBin

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Evaluation:
    """Metrics and calibration on the held-out cut-off."""

    metrics: dict[str, Any]
    calibration: list[CalibrationBin]
    n_test: int


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


def _baselines(known: TrainingSet, test: TrainingSet, config: ChurnConfig) -> dict[str, np.ndarray]:
    """Probabilities of recency alone and of a logistic regression on RFM (logs), fitted on `known`."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities: dict[str, np.ndarray] = {}
    names = {"recency": [config.recency], "rfm_logistic": [config.recency, config.frequency, config.monetary]}
    for baseline, columns in names.items():
        which = [config.features.index(name) for name in columns]
        before, after = (np.log1p(np.nan_to_num(part.features[:, which]).clip(min=0)) for part in (known, test))
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(before, known.churned)
        probabilities[baseline] = model.predict_proba(after)[:, 1]
    return probabilities


def evaluate(rows: TrainingSet, config: ChurnConfig) -> Evaluation:
    """Fit, calibrate and compare as on the day of the newest complete cut-off.

    Raises:
        TrainingRefusedError: too few cut-offs, too few buyers of either outcome before or at the newest one, or a leak.
    """
    known, test = split(rows)
    refuse_too_little(test, config, "the newest complete cut-off")
    probability = fit(known, config).predict(test.features)
    measured = quality(probability, test.churned, config.n_bins)
    if measured["auc"] > config.max_plausible_auc:
        raise TrainingRefusedError(
            f"AUC {measured['auc']:.3f} on the held-out cut-off is too good to be true: "
            "a feature of churn_training_set knows what happened after its cut-off"
        )
    metrics: dict[str, Any] = {
        **measured,
        "base_rate": round(float(test.churned.mean()), 6),
        "base_rate_before": round(float(known.churned.mean()), 6),
        "n_cutoffs": len(set(rows.cutoff.tolist())),
        "n_cutoffs_before_test": len(set(known.cutoff.tolist())),
    }
    for baseline, values in _baselines(known, test, config).items():
        metrics |= {f"{baseline}_{name}": value for name, value in quality(values, test.churned, config.n_bins).items()}
    return Evaluation(metrics, calibration_table(probability, test.churned, config.n_bins), len(test.churned))
