"""Item-to-item similarity: shrunk cosine between items over people, the best neighbours of each item kept.

Source: item-based top-N, Deshpande and Karypis 2004 (doi:10.1145/963770.963776).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import History

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

_ITEMS_AT_ONCE = 512


@dataclass(frozen=True)
class Neighbours:
    """For each item its `k` most similar items: the evidence that speaks for it."""

    index: np.ndarray
    """int32 (items, k): codes of the neighbours, best first."""
    similarity: np.ndarray
    """float32 (items, k): 0..1; 0 where an item has fewer neighbours."""

    def as_matrix(self) -> sp.csr_matrix:
        """Evidence × candidate, so that history @ matrix is the score of every candidate."""
        import numpy as np
        import scipy.sparse as sp

        n_items, k = self.index.shape
        kept = self.similarity.ravel() > 0
        candidate = np.repeat(np.arange(n_items), k)[kept]
        evidence = self.index.ravel()[kept]
        return sp.csr_matrix((self.similarity.ravel()[kept], (evidence, candidate)), shape=(n_items, n_items))


@dataclass(frozen=True)
class ItemModel:
    """Everything that scoring needs; numpy arrays and plain values alone."""

    product_ids: np.ndarray
    bought: Neighbours
    viewed: Neighbours
    popularity: np.ndarray
    blend_weight: float | None
    """Weight of item-to-item evidence against own purchases; None: what was bought is not offered again."""
    popularity_lift: float
    view_weight: float

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types, so that an artefact outlives a refactoring of this class."""
        return {
            "product_ids": [str(key) for key in self.product_ids],
            "bought": (self.bought.index, self.bought.similarity),
            "viewed": (self.viewed.index, self.viewed.similarity),
            "popularity": self.popularity,
            "blend_weight": self.blend_weight,
            "popularity_lift": self.popularity_lift,
            "view_weight": self.view_weight,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ItemModel:
        import numpy as np

        return cls(
            product_ids=np.asarray(stored["product_ids"], dtype=object),
            bought=Neighbours(*stored["bought"]),
            viewed=Neighbours(*stored["viewed"]),
            popularity=stored["popularity"],
            blend_weight=stored["blend_weight"],
            popularity_lift=stored["popularity_lift"],
            view_weight=stored["view_weight"],
        )


def similar_items(people: sp.csr_matrix, config: RecommendationConfig, *, with_itself: bool) -> Neighbours:
    """Shrunk cosine of log(1 + weight) over people (profiles × items), computed for some hundred items at a time.

    `with_itself`: an item is its own evidence too (what was viewed is itself a candidate).
    """
    import numpy as np

    per_profile = people.getnnz(axis=1)
    taught = people[(per_profile > 0) & (per_profile <= config.max_profile_items)].astype(np.float32)
    taught.data = np.log1p(taught.data)
    by_item = taught.T.tocsr()
    n_items = by_item.shape[0]
    k = min(config.n_neighbours, n_items)
    norm = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1), dtype=np.float32)).ravel()
    index = np.zeros((n_items, k), np.int32)
    similarity = np.zeros((n_items, k), np.float32)
    for start in range(0, n_items, _ITEMS_AT_ONCE):
        stop = min(start + _ITEMS_AT_ONCE, n_items)
        block = (by_item[start:stop] @ taught).toarray()
        denominator = norm[start:stop, None] * norm[None, :] + config.shrinkage
        np.divide(block, denominator, out=block, where=denominator > 0)
        own = (np.arange(stop - start), np.arange(start, stop))
        block[own] = np.where(norm[start:stop] > 0, 1.0, 0.0) if with_itself else 0.0
        # stable: equal similarities go to the lower code, whatever the block's size
        best = np.argsort(-block, axis=1, kind="stable")[:, :k] if k > n_items // 8 else _best(block, k)
        index[start:stop] = best
        similarity[start:stop] = np.take_along_axis(block, best, axis=1)
    return Neighbours(index, similarity)


def _best(block: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values per row, best first, ties to the lower column among those taken."""
    import numpy as np

    taken = np.sort(np.argpartition(-block, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(block, taken, axis=1), axis=1, kind="stable")
    return np.take_along_axis(taken, order, axis=1)


def fit(
    history: History, product_ids: np.ndarray, config: RecommendationConfig, blend_weight: float | None
) -> ItemModel:
    """The model of what was known at T; `blend_weight` as in ItemModel."""
    return ItemModel(
        product_ids=product_ids,
        bought=similar_items(history.purchases, config, with_itself=False),
        viewed=similar_items(history.views, config, with_itself=True),
        popularity=history.popularity,
        blend_weight=blend_weight,
        popularity_lift=config.popularity_lift,
        view_weight=config.view_weight,
    )
