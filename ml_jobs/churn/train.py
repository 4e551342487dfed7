"""Gradient-boosted trees, then a calibration on the newest cut-off with predictions for people the model did not see.

The base rate moves with the season, so the calibration follows the newest complete cut-off. A model that had seen a
person at an earlier cut-off, whose horizon overlaps, would look surer of that person than it may be of the next one:
so the calibration's predictions come from folds over people, and the model that is kept is fitted on everyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.features import TrainingSet
from ml_jobs.errors import TrainingRefusedError

if TYPE_CHECKING:
    import numpy as np

_EDGE = 1e-6


@dataclass(frozen=True)
class ChurnModel:
    """A fitted booster and its calibration."""

    booster: Any
    """HistGradientBoostingClassifier."""
    calibrator: Any
    """LogisticRegression on the logit, or IsotonicRegression on the probability."""
    method: str

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probability of churn, 0..1, shape (rows,)."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="openmp"):
            raw = self.booster.predict_proba(features)[:, 1]
        return _calibrated(self.calibrator, self.method, raw)


def logit(probability: np.ndarray) -> np.ndarray:
    import numpy as np

    clipped = np.clip(probability, _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _calibrated(calibrator: Any, method: str, raw: np.ndarray) -> np.ndarray:
    import numpy as np

    if method == "isotonic":
        return np.clip(calibrator.predict(raw), _EDGE, 1 - _EDGE)
    return calibrator.predict_proba(logit(raw)[:, None])[:, 1]


def _booster(config: ChurnConfig) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_regularization,
        # it would hold out random rows, and the same person sits in several cut-offs
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # scikit-learn: "auto" or bool
        random_state=config.seed,
    )


def refuse_too_little(rows: TrainingSet, config: ChurnConfig, what: str) -> None:
    """Refuse what is too small to say anything honest about.

    Raises:
        TrainingRefusedError: fewer churned or retained rows than declared.
    """
    churned, retained = int(rows.churned.sum()), int((~rows.churned).sum())
    if churned < config.min_positives or retained < config.min_negatives:
        raise TrainingRefusedError(
            f"{what} has {churned} churned and {retained} retained buyers; "
            f"{config.min_positives} and {config.min_negatives} are needed"
        )


def folds_of(profile_ids: np.ndarray, config: ChurnConfig) -> np.ndarray:
    """Fold of each row, the same for all rows of a person. int64 (rows,)."""
    import numpy as np

    people, code = np.unique(profile_ids, return_inverse=True)
    fold = np.random.default_rng(config.seed).permutation(len(people)) % config.n_folds
    return fold[code]


def fit(rows: TrainingSet, config: ChurnConfig) -> ChurnModel:
    """Fit on all `rows`, calibrated on those of the newest cut-off.

    Raises:
        TrainingRefusedError: `rows`, or the newest cut-off, have fewer churned or retained buyers than declared.
    """
    import numpy as np
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    newest = rows.cutoff == rows.cutoff.max(initial=0)
    refuse_too_little(rows.rows(newest), config, "the newest cut-off to calibrate on")
    fold = folds_of(rows.profile_ids, config)
    raw = np.empty(len(rows.churned))
    with threadpool_limits(limits=config.n_threads, user_api="openmp"):
        for number in range(config.n_folds):
            unseen, seen = newest & (fold == number), rows.rows(fold != number)
            if unseen.any():
                partial = _booster(config).fit(seen.features, seen.churned)
                raw[unseen] = partial.predict_proba(rows.features[unseen])[:, 1]
        booster = _booster(config).fit(rows.features, rows.churned)
    if config.calibration == "isotonic":
        calibrator = IsotonicRegression(out_of_bounds="clip").fit(raw[newest], rows.churned[newest])
    else:
        calibrator = LogisticRegression(C=1e6).fit(logit(raw[newest])[:, None], rows.churned[newest])
    return ChurnModel(booster, calibrator, config.calibration)
