"""The second of two stages: trees put a person's candidates in order by all that was known of the pair.

They learn from earlier windows: of what stood for choice at the beginning of one, what was bought until its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        row, item = known.candidates(some)
        was_bought = values_at(truth, some[row], item) > 0
        kept = was_bought | (rng.random(len(row)) < config.share_of_others)
        features.append(known.features(some, row[kept], item[kept]))
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


def ranked(
    trees: Any,
    known: Known,
    people: np.ndarray,
    n_threads: int,
    is_offered: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(position in `people`, item, how readily it is bought: 0..1) of the candidates, or of those that `is_offered`
    (position, item → bool). Not calibrated: of what was not bought only a share was learned from."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    row, item = known.candidates(people)
    if is_offered is not None:
        offered = is_offered(row, item)
        row, item = row[offered], item[offered]
    if not len(row):
        return row, item, np.zeros(0)
    with threadpool_limits(limits=n_threads, user_api="openmp"):
        return row, item, trees.predict_proba(known.features(people, row, item))[:, 1]
