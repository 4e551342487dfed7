"""Gradient-boosted trees, then a calibration on the newest cut-off with predictions for people the model did not see.

The base rate moves with the season, so the calibration follows the newest complete cut-off. A model that had seen a
person at an earlier cut-off, whose horizon overlaps, would look surer of that person than it may be of the next one:
so the calibration's predictions come from folds over people, and the model that is kept is fitted on everyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_jobs.churn.config import FIXED_HORIZON, ChurnConfig
from ml_jobs.churn.features import TrainingSet
from ml_jobs.errors import HistoriesError, TrainingRefusedError
from ml_jobs.features import learnable
from ml_jobs.lifetime_value import bg_nbd, purchases
from ml_jobs.lifetime_value.bg_nbd import BgNbd
from ml_jobs.lifetime_value.histories import Histories

if TYPE_CHECKING:
    import numpy as np

_EDGE = 1e-6


BOOSTER, MEAN, RFM, RECENCY, BG_NBD = METHODS = ("booster", "mean", "rfm_logistic", "recency", "bg_nbd")
"""Ways to predict: trees on all features; the mean (of logits) of trees and RFM; logistic regressions on RFM, and on
recency alone; that BG/NBD (`ml_jobs.lifetime_value`) sees no purchase within the horizon, which learns of no label."""
SIMPLE = (RFM, RECENCY, BG_NBD)
HISTORY = ("purchase_days_lifetime", "days_since_first_purchase", "recency_days")
"""What BG/NBD reads; without these columns there is no such method."""
DAY = 86_400_000_000


@dataclass(frozen=True)
class ChurnModel:
    """One of METHODS, fitted."""

    method: str
    features: tuple[str, ...]
    """Columns that it reads, in its order."""
    recency: str
    """The one of them that only buyers have."""
    booster: Any = None
    """HistGradientBoostingClassifier on all features."""
    logistic: Any = None
    """Logistic regression on the logs of a few."""
    logistic_columns: tuple[int, ...] = ()
    """Their positions in `features`."""
    calibrator: Any = None
    """LogisticRegression on the logit, or IsotonicRegression on the probability; None: the logistic's own."""
    rates: dict[str, Any] | None = None
    """BG/NBD's parameters, in days."""
    horizon_days: int = 0
    """Of its question; 0 in models from before it was stored."""
    label: str = FIXED_HORIZON
    """The question."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probability of churn, 0..1, shape (rows,)."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        if self.rates is not None:
            histories = histories_of(features, self.features)
            bought = purchases.p_purchase(BgNbd.from_dict(self.rates), histories, self.horizon_days)
            return np.clip(1 - bought, _EDGE, 1 - _EDGE)

        with threadpool_limits(limits=1, user_api="openmp"):
            parts = []
            if self.booster is not None:
                parts.append(self.booster.predict_proba(features)[:, 1])
            if self.logistic is not None:
                parts.append(self.logistic.predict_proba(_logs(features, self.logistic_columns))[:, 1])
        return _calibrated(self.calibrator, mean_of(parts))

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types around scikit-learn's."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ChurnModel:
        return cls(**stored)


def histories_of(features: np.ndarray, names: Sequence[str]) -> Histories:
    """Purchase histories, in days, of rows that have HISTORY among their columns `names`."""
    import numpy as np

    days, first, recency = (features[:, names.index(name)] for name in HISTORY)
    again = days - 1
    return Histories(again, np.where(again > 0, first - recency, 0), first, np.zeros(len(again)))


def mean_of(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of probabilities in logits; one alone is itself."""
    import numpy as np

    if len(probabilities) == 1:
        return probabilities[0]
    return 1 / (1 + np.exp(-np.mean([logit(one) for one in probabilities], axis=0)))


def _logs(features: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    import numpy as np

    return np.log1p(np.nan_to_num(features[:, list(columns)]).clip(min=0))


def standardized(model: ChurnModel, features: np.ndarray) -> np.ndarray:
    """What the logistic regression of `model` multiplies by its coefficients: (rows, logistic_columns), mean 0 over the
    rows that it was fitted to."""
    return model.logistic[:-1].transform(_logs(features, model.logistic_columns))


def logit(probability: np.ndarray) -> np.ndarray:
    import numpy as np

    clipped = np.clip(probability, _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _calibrated(calibrator: Any, raw: np.ndarray) -> np.ndarray:
    import numpy as np

    if calibrator is None:
        return raw
    if hasattr(calibrator, "predict_proba"):
        return calibrator.predict_proba(logit(raw)[:, None])[:, 1]
    return np.clip(calibrator.predict(raw), _EDGE, 1 - _EDGE)


def _calibrator(raw: np.ndarray, churned: np.ndarray, config: ChurnConfig) -> Any:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    if config.calibration == "isotonic":
        return IsotonicRegression(out_of_bounds="clip").fit(raw, churned)
    return LogisticRegression(C=1e6).fit(logit(raw)[:, None], churned)


def _logistic(rows: TrainingSet, columns: Sequence[int]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(_logs(rows.features, columns), rows.churned)


def _booster(rows: TrainingSet, config: ChurnConfig) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    booster = HistGradientBoostingClassifier(
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_regularization,
        # it would hold out random rows, and the same person sits in several cut-offs
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # scikit-learn: "auto" or bool
        random_state=config.seed,
    )
    return booster.fit(learnable(rows.features), rows.churned)


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


def fit(rows: TrainingSet, config: ChurnConfig, methods: Sequence[str] = METHODS) -> dict[str, ChurnModel]:
    """Fit `methods` on all `rows`; trees are calibrated on those of the newest cut-off. Of several methods BG/NBD is
    left out where it cannot be fitted, or does not know the question (`FIXED_HORIZON`).

    Raises:
        TrainingRefusedError: `rows`, or the newest cut-off, have fewer churned or retained buyers than declared.
    """
    from threadpoolctl import threadpool_limits

    newest = rows.cutoff == rows.cutoff.max(initial=0)
    refuse_too_little(rows.rows(newest), config, "the newest cut-off to calibrate on")
    horizon = round((int(rows.horizon_end[newest][0]) - int(rows.cutoff[newest][0])) / DAY)
    common = {"features": config.features, "recency": config.recency, "horizon_days": horizon, "label": config.label}
    rfm = tuple(config.features.index(name) for name in (config.recency, config.frequency, config.monetary))
    models: dict[str, ChurnModel] = {}
    with threadpool_limits(limits=config.n_threads, user_api="openmp"):
        for method, columns in ((RFM, rfm), (RECENCY, rfm[:1])):
            if method in methods or (method == RFM and MEAN in methods):
                logistic = _logistic(rows, columns)
                models[method] = ChurnModel(method, **common, logistic=logistic, logistic_columns=columns)
        if BG_NBD in methods and config.label == FIXED_HORIZON and set(HISTORY) <= set(config.features):
            try:
                rates = bg_nbd.fit(histories_of(rows.features[newest], config.features)).to_dict()
                models[BG_NBD] = ChurnModel(BG_NBD, **common, rates=rates)
            except (TrainingRefusedError, HistoriesError):
                if list(methods) == [BG_NBD]:
                    raise
        if BOOSTER in methods or MEAN in methods:
            by_trees, by_rfm = _unseen(rows, newest, rfm, config)
            booster = _booster(rows, config)
            churned = rows.churned[newest]
            models[BOOSTER] = ChurnModel(
                BOOSTER, **common, booster=booster, calibrator=_calibrator(by_trees, churned, config)
            )
            if MEAN in methods:
                models[MEAN] = replace(
                    models[RFM],
                    method=MEAN,
                    booster=booster,
                    calibrator=_calibrator(mean_of([by_trees, by_rfm]), churned, config),
                )
    return {method: models[method] for method in methods if method in models}


def _unseen(
    rows: TrainingSet, newest: np.ndarray, rfm: Sequence[int], config: ChurnConfig
) -> tuple[np.ndarray, np.ndarray]:
    """What trees, and a regression on RFM, say of the people of the newest cut-off whom they have not seen at any."""
    import numpy as np

    fold = folds_of(rows.profile_ids, config)
    by_trees, by_rfm = np.full(len(fold), np.nan), np.full(len(fold), np.nan)
    for number in range(config.n_folds):
        unseen, seen = newest & (fold == number), rows.rows(fold != number)
        if unseen.any():
            by_trees[unseen] = _booster(seen, config).predict_proba(rows.features[unseen])[:, 1]
            by_rfm[unseen] = _logistic(seen, rfm).predict_proba(_logs(rows.features[unseen], rfm))[:, 1]
    return by_trees[newest], by_rfm[newest]
