"""The model: item-to-item evidence, a method that makes scores of it, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.gate import NotComparableError
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import Interactions, history_at, values_at
from ml_jobs.recommendations.neighbours import Neighbours
from ml_jobs.recommendations.pairs import FEATURES, SOURCES, Known, sources_of
from ml_jobs.recommendations.ranker import Lessons, fit_trees, ranked
from ml_jobs.recommendations.sparse import (
    best_of_product,
    diagonal,
    inverse_of,
    logs,
    never,
    scaled,
    top_of,
    top_of_product,
)

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

RANKED = "ranked"
NEW_ONLY = "new_only"
EASE = "ease"
_POPULARITY_FLOOR = 0.1
"""Share of item-to-item evidence that counts for an item that nobody bought lately."""


LIKENESS = ("bought", "viewed")
"""Sources of blends, of `new_only`, and of placements."""


def sources_of_method(method: str) -> tuple[str, ...]:
    """Those of `pairs.SOURCES` by which a method scores."""
    return {RANKED: SOURCES, EASE: ("ease",)}.get(method, LIKENESS)


@dataclass(frozen=True)
class RecommendationModel:
    """Everything that scoring needs."""

    product_ids: np.ndarray
    method: str
    sources: dict[str, Neighbours]
    """What speaks for each item, by `pairs.SOURCES`."""
    popularity: np.ndarray
    popularity_lift: float
    view_weight: float
    trees: Any = None
    """Of the method `ranked`."""
    placements: dict[str, str] = field(default_factory=dict)
    """Method of each other placement that is served: CONTEXT, or the model's own."""
    popularity_exponent: float = 1.0
    """What models had before they said it."""

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types around scikit-learn's, so that an artefact outlives a refactoring."""
        return {
            "product_ids": [str(key) for key in self.product_ids],
            "method": self.method,
            "sources": {name: (one.index, one.weight) for name, one in self.sources.items()},
            "popularity": self.popularity,
            "popularity_lift": self.popularity_lift,
            "view_weight": self.view_weight,
            "trees": self.trees,
            "placements": self.placements,
            "popularity_exponent": self.popularity_exponent,
            "features": FEATURES,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> RecommendationModel:
        """Raises NotComparableError if its trees read other columns than there are today."""
        import numpy as np

        if stored.get("trees") is not None and tuple(stored.get("features", FEATURES)) != FEATURES:
            raise NotComparableError("its trees read other columns than those of this release")
        if "method" not in stored:  # from before there were others than blends
            blend = stored["blend_weight"]
            sources = {"bought": stored["bought"], "viewed": stored["viewed"]}
            stored = stored | {"method": NEW_ONLY if blend is None else f"blend_{blend:g}", "sources": sources}
        return cls(
            product_ids=np.asarray(stored["product_ids"], dtype=object),
            method=stored["method"],
            sources={name: Neighbours(*arrays) for name, arrays in stored["sources"].items()},
            popularity=stored["popularity"],
            popularity_lift=stored["popularity_lift"],
            view_weight=stored["view_weight"],
            trees=stored.get("trees"),
            placements=stored.get("placements", {}),
            popularity_exponent=stored.get("popularity_exponent", 1.0),
        )


class Scorer:
    """A model asked about people of whom something is `known` (in the model's items).

    Of each method but `ranked` the scores are a product of two sparse matrices: what of a person's history counts, and
    what that says of every item. So a back-test may look at all scores, and who serves millions at the best alone.
    """

    def __init__(self, model: RecommendationModel, known: Known, is_offered: np.ndarray | None = None) -> None:
        """`is_offered`: bool (items,), what may be recommended; everything, if it is not said."""
        self.model = model
        self.known = known
        self.is_offered = is_offered

    def scores(self, people: np.ndarray, context: sp.csr_matrix | None = None) -> np.ndarray:
        """float32 (people, items); 0 where nothing personal speaks for an item. With a `context` (people × items): what
        goes with that, whoever they are."""
        import numpy as np
        import scipy.sparse as sp

        denied = sp.csr_matrix((len(people), self.known.shape[1]), dtype=np.float32)
        if context is None and self.model.method == RANKED:
            scores = denied.toarray()
            row, item, score = self._ranked(people, denied)
            scores[row, item] = score
            return scores
        left, right = self._product(people, context, denied)
        return np.maximum(sp.csr_matrix(left @ right).toarray(), 0)

    def best(
        self, people: np.ndarray, n: int, denied: sp.csr_matrix, context: sp.csr_matrix | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(position in `people`, item, score) of the `n` best of each, best first; none of those that stand in `denied`
        (people × items)."""
        if context is None and self.model.method == RANKED:
            return top_of(*self._ranked(people, denied), n)
        return top_of_product(*self._product(people, context, denied), n)

    def _ranked(self, people: np.ndarray, denied: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def is_offered(row: np.ndarray, item: np.ndarray) -> np.ndarray:
            allowed = values_at(denied, row, item) == 0
            return allowed if self.is_offered is None else allowed & self.is_offered[item]

        return ranked(self.model.trees, self.known, people, self.known.config.ranker.n_threads, is_offered)

    def _product(
        self, people: np.ndarray, context: sp.csr_matrix | None, denied: sp.csr_matrix
    ) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """(left, right) with the scores left @ right; below zero where `denied`."""
        import numpy as np
        import scipy.sparse as sp

        method, known = self.model.method, self.known
        if context is not None:
            left = [*self._alike(logs(context), logs(context)), context * 0, denied]
        elif method == EASE:
            return sp.csr_matrix(sp.hstack([known.asked("ease", people), denied])), self._by_ease
        else:
            purchases = known.history.purchases[people]
            alike = self._alike(known.asked("bought", people), known.asked("viewed", people))
            if method == NEW_ONLY:
                left = [*alike, purchases * 0, denied + purchases]
            else:
                left = [*(each * np.float32(method.removeprefix("blend_")) for each in alike), purchases, denied]
        return sp.csr_matrix(sp.hstack(left)), self._by_likeness

    def _alike(self, bought: sp.csr_matrix, viewed: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Both kinds of evidence, scaled so that the best item of a person has 1 and `view_weight`."""
        weights, view_weight = self.known.weights, self.model.view_weight
        by_bought, by_viewed = (
            inverse_of(best_of_product(asked, weights[name]))
            for name, asked in (("bought", bought), ("viewed", viewed))
        )
        return scaled(bought, by_bought), scaled(viewed, view_weight * by_viewed)

    @cached_property
    def _by_likeness(self) -> sp.csr_matrix:
        """What was bought, what was viewed, how often it was bought, and what is denied × items."""
        popularity, weights = self.model.popularity, self.known.weights
        damp = diagonal(((_POPULARITY_FLOOR + popularity) / (1 + _POPULARITY_FLOOR)) ** self.model.popularity_exponent)
        lift = diagonal(1 + self.model.popularity_lift * popularity)
        return self._offered([weights["bought"] @ damp, weights["viewed"] @ damp, lift])

    @cached_property
    def _by_ease(self) -> sp.csr_matrix:
        """What was bought, and what is denied × items."""
        return self._offered([self.known.weights["ease"]])

    def _offered(self, blocks: list[sp.csr_matrix]) -> sp.csr_matrix:
        """The blocks above each other without what is not offered, and below them what keeps out what is denied."""
        import scipy.sparse as sp

        right = sp.csr_matrix(sp.vstack(blocks))
        if self.is_offered is not None:
            right.data[~self.is_offered[right.indices]] = 0
            right.eliminate_zeros()
        return sp.csr_matrix(sp.vstack([right, never(self.known.shape[1])]))


def fit(
    data: Interactions,
    at: int,
    method: str,
    config: RecommendationConfig,
    lessons: Sequence[Lessons] = (),
    placements: Mapping[str, str] | None = None,
) -> RecommendationModel:
    """The model of what was known at `at`; `lessons` of windows that had ended by then, for the method `ranked`.

    Raises:
        TrainingRefusedError: too few lessons.
    """
    history = history_at(data, at, config)
    trees = fit_trees(lessons, config.ranker) if method == RANKED else None
    if method == RANKED and trees is None:
        raise TrainingRefusedError("the newest windows have too few purchases for the trees to learn from")
    return RecommendationModel(
        product_ids=data.product_ids,
        method=method,
        # placements need likeness, whatever the method
        sources=sources_of(history, data, config, list(dict.fromkeys((*LIKENESS, *sources_of_method(method))))),
        popularity=history.popularity,
        popularity_lift=config.popularity_lift,
        view_weight=config.view_weight,
        trees=trees,
        placements=dict(placements or {}),
        popularity_exponent=config.popularity_exponent,
    )
