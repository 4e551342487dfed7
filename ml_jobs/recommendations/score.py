"""Scores of every item for many people at once, the best of them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.features import History
from ml_jobs.recommendations.train import ItemModel, Neighbours

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

BOUGHT_BEFORE, BOUGHT_WITH, VIEWED_BEFORE, VIEWED_WITH = range(4)
REASONS = ("bought before", "bought with {product}", "viewed before", "viewed with {product}")
_POPULARITY_FLOOR = 0.1
"""Share of item-to-item evidence that counts for an item that nobody bought lately."""


@dataclass(frozen=True)
class Candidates:
    """One entry per person and candidate, best first within a person. Codes are positions in the model's items."""

    profile: np.ndarray
    product: np.ndarray
    rank: np.ndarray
    """From 1."""
    score: np.ndarray
    reason: np.ndarray
    """BOUGHT_BEFORE, BOUGHT_WITH, VIEWED_BEFORE or VIEWED_WITH."""
    evidence: np.ndarray
    """The item that speaks for it ("bought with …"); itself for the reasons "before"."""


class Scorer:
    """The model with its neighbour lists as matrices, ready for many chunks of people."""

    def __init__(self, model: ItemModel) -> None:
        import numpy as np

        self.model = model
        self._bought = model.bought.as_matrix()
        self._viewed = model.viewed.as_matrix()
        self._lift = (1 + model.popularity_lift * model.popularity).astype(np.float32)
        self._damp = ((_POPULARITY_FLOOR + model.popularity) / (1 + _POPULARITY_FLOOR)).astype(np.float32)

    def evidence(self, purchases: sp.csr_matrix, views: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """Item-to-item evidence from purchases and from views, each scaled to 1 at a person's best item.

        Two arrays float32 (people, items); that from views already carries its weight.
        """
        import numpy as np

        parts: list[np.ndarray] = []
        for matrix, neighbours, weight in (
            (purchases, self._bought, 1.0),
            (views, self._viewed, self.model.view_weight),
        ):
            logs = matrix.copy()
            logs.data = np.log1p(logs.data)
            dense = (logs @ neighbours).toarray().astype(np.float32, copy=False)
            best = dense.max(axis=1, keepdims=True, initial=0)
            np.divide(dense * np.float32(weight), best, out=dense, where=best > 0)
            parts.append(dense)
        return parts[0], parts[1]

    def combine(
        self, purchases: sp.csr_matrix, from_bought: np.ndarray, from_viewed: np.ndarray, blend: float | None
    ) -> np.ndarray:
        """Own purchases (lifted by popularity) plus blended evidence; 0 where nothing personal speaks for an item.

        `blend` None: nothing that the person has bought.
        """
        import numpy as np

        own = purchases.tocoo()
        scores = (from_bought + from_viewed) * (np.float32(1.0 if blend is None else blend) * self._damp)
        if blend is None:
            scores[own.row, own.col] = 0
            return scores
        scores[own.row, own.col] += own.data.astype(np.float32) * self._lift[own.col]
        return scores


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k best scores per row, best first; equal scores go to the lower column. int64 (rows, k)."""
    import numpy as np

    k = min(k, scores.shape[1])
    taken = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, taken, axis=1), axis=1, kind="stable")
    return np.take_along_axis(taken, order, axis=1)


def top_candidates(
    model: ItemModel, history: History, profiles: np.ndarray, is_eligible: np.ndarray, n: int, chunk: int
) -> Candidates:
    """The best `n` eligible items of each of `profiles` (rows of `history`), in chunks of people.

    Never an item that is not eligible (bool per item), that the person sent back, or for which nothing personal speaks.
    """
    import numpy as np

    scorer = Scorer(model)
    pieces: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(profiles), chunk):
        people = profiles[start : start + chunk]
        purchases, views = history.purchases[people], history.views[people]
        from_bought, from_viewed = scorer.evidence(purchases, views)
        scores = scorer.combine(purchases, from_bought, from_viewed, model.blend_weight)
        scores[:, ~is_eligible] = 0
        returned = history.returned[people].tocoo()
        scores[returned.row, returned.col] = 0
        best = top_k(scores, n)
        value = np.take_along_axis(scores, best, axis=1)
        row, column = np.nonzero(value > 0)
        item = best[row, column]
        reason, why = _reasons(model, purchases, views, from_bought, from_viewed, row, item)
        pieces.append((people[row], item, column + 1, value[row, column], reason, why))
    columns = [np.concatenate(part) for part in zip(*pieces, strict=True)] if pieces else [np.empty(0)] * 6
    profile, product, rank, score, reason, why = columns
    return Candidates(profile, product.astype(np.int64), rank.astype(np.int32), score, reason, why.astype(np.int64))


def _reasons(
    model: ItemModel,
    purchases: sp.csr_matrix,
    views: sp.csr_matrix,
    from_bought: np.ndarray,
    from_viewed: np.ndarray,
    row: np.ndarray,
    item: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest single reason for each (row, item), and the item that gives it."""
    import numpy as np

    own = np.asarray(purchases[row, item]).ravel() > 0
    by_purchase = from_bought[row, item] >= from_viewed[row, item]
    reason = np.full(len(row), BOUGHT_BEFORE, np.int8)
    why = item.copy()
    # the search is the dear part of scoring: only where its answer is told
    with_bought, with_viewed = np.flatnonzero(~own & by_purchase), np.flatnonzero(~own & ~by_purchase)
    why[with_bought] = _strongest(model.bought, purchases, row[with_bought], item[with_bought])
    why[with_viewed] = _strongest(model.viewed, views, row[with_viewed], item[with_viewed])
    reason[with_bought] = BOUGHT_WITH
    reason[with_viewed] = np.where(why[with_viewed] == item[with_viewed], VIEWED_BEFORE, VIEWED_WITH)
    return reason, why


def _strongest(neighbours: Neighbours, history: sp.csr_matrix, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Per (row, item) the neighbour that contributes most: similarity × log(1 + its weight in the history)."""
    import numpy as np

    weights = np.log1p(history.toarray())
    found = np.empty(len(row), np.int64)
    for start in range(0, len(row), 8192):
        part = slice(start, start + 8192)
        index = neighbours.index[item[part]]
        share = neighbours.similarity[item[part]] * weights[row[part][:, None], index]
        best = share.argmax(axis=1)
        found[part] = index[np.arange(len(best)), best]
    return found
