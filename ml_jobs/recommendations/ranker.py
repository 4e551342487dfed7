"""The second of two stages: trees put a person's candidates in order by all that was known of the pair.

They learn from earlier windows: of what stood for choice at the beginning of one, what was bought until its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.recommendations.config import RankerConfig
from ml_jobs.recommendations.features import values_at
from ml_jobs.recommendations.pairs import FEATURES, Known

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp


@dataclass(frozen=True)
class Lessons:
    """Pairs of one window, and whether they came about."""

    features: np.ndarray
    """float32 (pairs, len(pairs.FEATURES))"""
    was_bought: np.ndarray
    """bool (pairs,)"""


def lessons_of(known: Known, truth: sp.csr_matrix, people: np.ndarray, config: RankerConfig, chunk: int) -> Lessons:
    """What `people` were offered by the first stage at the beginning of a window and what they bought of it (`truth`,
    people × items, 1 where bought). Of what they did not buy a share is kept, drawn by the seed."""
    import numpy as np

    rng = np.random.default_rng(config.seed)
    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for start in range(0, len(people), chunk):
        some = people[start : start + chunk]
        evidence = known.evidence(some)
        row, item = known.candidates(some, evidence)
        was_bought = values_at(truth, some[row], item) > 0
        kept = was_bought | (rng.random(len(row)) < config.share_of_others)
        features.append(known.features(some, evidence, row[kept], item[kept]))
        labels.append(was_bought[kept])
    if not features:
        return Lessons(np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, bool))
    return Lessons(np.vstack(features), np.concatenate(labels))


def are_enough(lessons: Sequence[Lessons], config: RankerConfig) -> bool:
    """Whether trees can be fitted: not too little was bought in them, and not everything."""
    bought = sum(int(one.was_bought.sum()) for one in lessons)
    return config.min_bought <= bought < sum(len(one.was_bought) for one in lessons)


def fit_trees(lessons: Sequence[Lessons], config: RankerConfig) -> Any:
    """HistGradientBoostingClassifier of all `lessons`; None where they are too few, or nothing (or all) was bought."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    if not are_enough(lessons, config):
        return None
    trees = HistGradientBoostingClassifier(
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_regularization,
        max_features=config.max_features,
        # it would hold out random pairs, and those of a person hang together
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # scikit-learn: "auto" or bool
        random_state=config.seed,
    )
    with threadpool_limits(limits=config.n_threads, user_api="openmp"):
        return trees.fit(
            np.vstack([one.features for one in lessons]), np.concatenate([one.was_bought for one in lessons])
        )


def ranked(trees: Any, known: Known, people: np.ndarray, evidence: dict[str, np.ndarray], n_threads: int) -> np.ndarray:
    """float32 (people, items): how readily each candidate is bought, 0..1 (not calibrated: of what was not bought only
    a share was learned from); 0 for what is no candidate."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    scores = np.zeros((len(people), len(known.history.popularity)), np.float32)
    row, item = known.candidates(people, evidence)
    if len(row):
        with threadpool_limits(limits=n_threads, user_api="openmp"):
            scores[row, item] = trees.predict_proba(known.features(people, evidence, row, item))[:, 1]
    return scores
