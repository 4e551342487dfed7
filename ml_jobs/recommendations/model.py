"""The model: item-to-item evidence, a method that makes scores of it, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import Interactions, history_at
from ml_jobs.recommendations.neighbours import Neighbours
from ml_jobs.recommendations.pairs import EVIDENCE, SOURCES, Known, sources_of
from ml_jobs.recommendations.ranker import Lessons, fit_trees, ranked

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

RANKED = "ranked"
NEW_ONLY = "new_only"
EASE = "ease"
_POPULARITY_FLOOR = 0.1
"""Share of item-to-item evidence that counts for an item that nobody bought lately."""


def sources_for(method: str) -> tuple[str, ...]:
    """Those of `pairs.SOURCES` that a method needs."""
    if method == RANKED:
        return SOURCES
    # placements need the first two, whatever the method
    return ("bought", "viewed", "ease") if method == EASE else ("bought", "viewed")


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
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> RecommendationModel:
        import numpy as np

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
        )


class Scorer:
    """A model asked about people of whom something is `known` (in the model's items)."""

    def __init__(self, model: RecommendationModel, known: Known) -> None:
        import numpy as np

        self.model = model
        self.known = known
        self._lift = (1 + model.popularity_lift * model.popularity).astype(np.float32)
        self._damp = ((_POPULARITY_FLOOR + model.popularity) / (1 + _POPULARITY_FLOOR)).astype(np.float32)

    def evidence(self, people: np.ndarray) -> dict[str, np.ndarray]:
        """As much of `Known.evidence` as the method needs."""
        method = self.model.method
        return self.known.evidence(people, {RANKED: EVIDENCE, EASE: ("ease",)}.get(method, ("bought", "viewed")))

    def scores(self, people: np.ndarray, evidence: dict[str, np.ndarray]) -> np.ndarray:
        """float32 (people, items); 0 where nothing personal speaks for an item."""
        import numpy as np

        method = self.model.method
        if method == RANKED:
            return ranked(self.model.trees, self.known, people, evidence, self.known.config.ranker.n_threads)
        if method == EASE:
            return np.maximum(evidence["ease"], 0)
        own = self.known.history.purchases[people].tocoo()
        scores = to_best(evidence["bought"]) + np.float32(self.model.view_weight) * to_best(evidence["viewed"])
        if method == NEW_ONLY:
            scores *= self._damp
            scores[own.row, own.col] = 0
            return scores
        scores *= np.float32(method.removeprefix("blend_")) * self._damp
        scores[own.row, own.col] += own.data.astype(np.float32) * self._lift[own.col]
        return scores

    def from_context(self, context: sp.csr_matrix) -> np.ndarray:
        """float32 (people, items): what goes with the items of `context`, whoever they are."""
        import numpy as np

        bought, viewed = (to_best(self.known.said_by(context, source)) for source in ("bought", "viewed"))
        return (bought + np.float32(self.model.view_weight) * viewed) * self._damp


def to_best(evidence: np.ndarray) -> np.ndarray:
    """Scaled to 1 at each person's best item."""
    import numpy as np

    best = evidence.max(axis=1, keepdims=True, initial=0)
    return np.divide(evidence, best, out=np.zeros_like(evidence), where=best > 0)


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
        sources=sources_of(history, data, config, sources_for(method)),
        popularity=history.popularity,
        popularity_lift=config.popularity_lift,
        view_weight=config.view_weight,
        trees=trees,
        placements=dict(placements or {}),
    )
