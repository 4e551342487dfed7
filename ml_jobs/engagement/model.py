"""Three ways to tell whether the next mail is answered, and the two simplest things that one could say.

A person's own rate, shrunk towards everybody's; a logistic regression; trees. The latter two see the shrunk rates too.
What they learn from are mails, not people: who got ten and opened two is ten mails, two of them opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.engagement.config import EngagementConfig
from ml_jobs.engagement.features import TARGETS, People, TrainingSet
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.features import learnable
from ml_jobs.shrinkage import fit_strength, posterior

if TYPE_CHECKING:
    import numpy as np

TREES, LOGISTIC, OWN_RATE = METHODS = ("trees", "logistic", "own_rate")
SIMPLE = (OWN_RATE,)
POPULATION, RAW_RATE = RIVALS = ("population", "raw_rate")
"""Everybody's rate after the newest known cut-off; a person's own rate as it is."""
_EDGE = 1e-4


@dataclass(frozen=True)
class OwnRate:
    """What a person's own answers say of one target."""

    rate: float
    """Of all mails after the newest known cut-off."""
    strength: float
    """How many mails at that rate outweigh the person's own."""

    def predict(self, people: People, target: int) -> np.ndarray:
        return posterior(people.answered[:, target], people.delivered, self.rate, self.strength)

    def raw(self, people: People, target: int) -> np.ndarray:
        """Without shrinkage; everybody's where there were no mails."""
        import numpy as np

        got = people.delivered > 0
        return np.where(got, people.answered[:, target] / np.where(got, people.delivered, 1), self.rate)


@dataclass(frozen=True)
class EngagementModel:
    """One method for each target."""

    features: tuple[str, ...]
    """Columns that it reads, in its order."""
    methods: tuple[str, str]
    own_rates: tuple[OwnRate, OwnRate]
    estimators: tuple[Any, Any]
    """scikit-learn's, on `_design`; None where the method is the own rate."""

    def predict(self, people: People) -> np.ndarray:
        """Calibrated probabilities, float64 (people, 2); who clicks has opened."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        said = []
        for target in range(len(TARGETS)):
            estimator = self.estimators[target]
            if estimator is None or not len(people.delivered):
                said.append(self.own_rates[target].predict(people, target))
                continue
            with threadpool_limits(limits=1, user_api="openmp"):
                said.append(estimator.predict_proba(_design(people, self.own_rates))[:, 1])
        both = np.clip(np.column_stack(said), _EDGE, 1 - _EDGE)
        both[:, 0] = both.max(axis=1)
        return both

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types around scikit-learn's."""
        own = [(one.rate, one.strength) for one in self.own_rates]
        return {
            "features": self.features, "methods": self.methods, "own_rates": own, "estimators": self.estimators,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> EngagementModel:
        first, second = (OwnRate(*one) for one in stored["own_rates"])
        return cls(stored["features"], stored["methods"], (first, second), stored["estimators"])


def _design(people: People, own_rates: Sequence[OwnRate]) -> np.ndarray:
    """Features, mails before, and shrunk own rates: float64 (people, features + 3)."""
    import numpy as np

    rates = [own.predict(people, target) for target, own in enumerate(own_rates)]
    return np.column_stack([people.features, people.delivered, *rates])


def _for_logistic(design: np.ndarray) -> np.ndarray:
    """Counts in logs; the last two columns, rates, in logits."""
    import numpy as np
    from scipy.special import logit

    counts = np.log1p(np.nan_to_num(design[:, :-2]).clip(min=0))
    return np.column_stack([counts, logit(np.clip(design[:, -2:], _EDGE, 1 - _EDGE))])


def refuse_too_little(rows: TrainingSet, config: EngagementConfig, what: str) -> None:
    """Refuse what is too small, or too much the same, to say anything honest about.

    Raises:
        TrainingRefusedError: fewer mails opened, clicked or unopened than declared.
    """
    n_mails = int(rows.delivered.sum())
    opened, clicked = (int(n) for n in rows.answered.sum(axis=0))
    if min(opened, clicked, n_mails - opened) < config.min_answers:
        raise TrainingRefusedError(
            f"{what} has {n_mails} mails, of which {opened} were opened and {clicked} clicked; "
            f"{config.min_answers} opened, clicked, and not opened are needed"
        )


def own_rates_of(rows: TrainingSet) -> tuple[OwnRate, OwnRate]:
    """Rates after the newest cut-off, and how far people differed before it."""
    newest = rows.rows(rows.cutoff == rows.cutoff.max())
    opens, clicks = (_own_rate(newest, target) for target in range(len(TARGETS)))
    return opens, clicks


def _own_rate(rows: TrainingSet, target: int) -> OwnRate:
    import numpy as np

    people = rows.people
    rate = float(rows.answered[:, target].sum() / rows.delivered.sum())
    got = people.delivered > 0
    answered, delivered = people.answered[got, target], people.delivered[got]
    mean = answered.sum() / max(delivered.sum(), 1)
    return OwnRate(rate, fit_strength(answered, delivered, np.full(len(answered), mean)))


def fit(rows: TrainingSet, config: EngagementConfig, methods: Sequence[str]) -> EngagementModel:
    """`methods`: one for each target.

    Raises:
        TrainingRefusedError: fewer mails opened, clicked or unopened than declared, or trees and too few people.
    """
    from threadpoolctl import threadpool_limits

    refuse_too_little(rows, config, "the training set")
    own = own_rates_of(rows)
    with threadpool_limits(limits=config.n_threads, user_api="openmp"):
        opens, clicks = (_estimator(rows, own, target, method, config) for target, method in enumerate(methods))
    return EngagementModel(config.features, (methods[0], methods[1]), own, (opens, clicks))


def _estimator(rows: TrainingSet, own: Sequence[OwnRate], target: int, method: str, config: EngagementConfig) -> Any:
    import numpy as np

    if method == OWN_RATE:
        return None
    design, n = _design(rows.people, own), len(rows.delivered)
    answered = rows.answered[:, target]
    # a row for the mails that were answered and one for those that were not, by their number
    label, weight = np.repeat([1, 0], n), np.concatenate([answered, rows.delivered - answered])
    some = weight > 0
    twice, person = np.concatenate([design, design])[some], np.tile(rows.people.profile_ids, 2)[some]
    label, weight = label[some], weight[some]
    if method == LOGISTIC:
        return _logistic().fit(twice, label, logisticregression__sample_weight=weight)
    return _calibrated_trees(twice, label, weight, person, config)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(FunctionTransformer(_for_logistic), StandardScaler(), LogisticRegression())


def _calibrated_trees(
    design: np.ndarray, label: np.ndarray, weight: np.ndarray, person: np.ndarray, config: EngagementConfig
) -> Any:
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GroupKFold

    n_people = len(np.unique(person))
    if n_people < config.n_folds:
        raise TrainingRefusedError(f"{n_people} people got mail; {config.n_folds} are needed, one for each fold")
    trees = HistGradientBoostingClassifier(
        max_iter=config.max_iter,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.max_leaf_nodes,
        min_samples_leaf=config.min_samples_leaf,
        l2_regularization=config.l2_regularization,
        # it would hold out random rows, and the same person sits in several cut-offs
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # scikit-learn: "auto" or bool
        random_state=config.seed,
    )
    folds = list(GroupKFold(config.n_folds).split(design, label, person))
    if any(label[learnt].min() == label[learnt].max() for learnt, _ in folds):
        raise TrainingRefusedError(
            "without the people of one fold all mails were answered, or none: too few people differ from the others"
        )
    # one ensemble of trees, of everybody, and not one for each fold
    calibrated = CalibratedClassifierCV(trees, cv=folds, ensemble=False)  # pyright: ignore[reportArgumentType]
    return calibrated.fit(learnable(design, [learnt for learnt, _ in folds]), label, sample_weight=weight)
