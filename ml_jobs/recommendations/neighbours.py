"""What speaks for an item: other items with weights, the strongest kept. Three ways to weigh them, one to use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.sparse import diagonal, logs, never, ones, rank_in, top_of_product

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

_ITEMS_AT_ONCE = 512
_LAPACK_TAKES = 25_000
"""Rows of a matrix that it was seen to invert."""


@dataclass(frozen=True)
class Neighbours:
    """For each item the `k` items that say most about it: the evidence for and against it."""

    index: np.ndarray
    """int32 (items, k): codes of the neighbours, strongest first."""
    weight: np.ndarray
    """float32 (items, k): what each adds to the item's score; 0 where an item has fewer neighbours."""

    def as_matrix(self) -> sp.csr_matrix:
        """Evidence × candidate, so that history @ matrix is the score of every candidate."""
        import numpy as np
        import scipy.sparse as sp

        n_items, k = self.index.shape
        kept = self.weight.ravel() != 0
        candidate = np.repeat(np.arange(n_items), k)[kept]
        evidence = self.index.ravel()[kept]
        return sp.csr_matrix((self.weight.ravel()[kept], (evidence, candidate)), shape=(n_items, n_items))


def cosine(people: sp.csr_matrix, config: RecommendationConfig, *, with_itself: bool = False) -> Neighbours:
    """Shrunk cosine of log(1 + weight) between items over people (profiles × items), for some hundred items at a time.

    Each person is weighted by their number of items to the power of −`breadth_exponent`: who has everything says little
    of any two. `with_itself`: an item is its own evidence too (what was viewed is itself a candidate).
    Source: item-based top-N, Deshpande and Karypis 2004 (doi:10.1145/963770.963776), who give each person the same
    length.
    """
    import numpy as np
    import scipy.sparse as sp

    taught = logs(_teachers(people, config))
    counts = taught.getnnz(axis=1).astype(np.float32) ** -config.breadth_exponent
    taught = sp.csr_matrix(diagonal(np.sqrt(counts)) @ taught)
    # in the unit of what it is added to
    shrinkage = config.shrinkage * (float(counts.mean()) if len(counts) else 1.0)
    by_item = taught.T.tocsr()
    norm = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1), dtype=np.float32)).ravel()
    found = _empty(len(norm), config)
    itself = diagonal(np.ones(len(norm)))
    for start in range(0, len(norm), _ITEMS_AT_ONCE):
        stop = min(start + _ITEMS_AT_ONCE, len(norm))
        block = sp.csr_matrix(by_item[start:stop] @ taught)
        item = start + np.repeat(np.arange(stop - start), np.diff(block.indptr))
        block.data /= norm[item] * norm[block.indices] + shrinkage
        block.data[block.indices == item] = 1.0 if with_itself else 0.0
        _keep(found, start, top_of_product(block, itself, found.index.shape[1]))
    return found


def ease(people: sp.csr_matrix, config: RecommendationConfig) -> Neighbours:
    """Weights of a linear model that foretells each item of a person from their others, by ridge regression over all
    pairs at once; the strongest kept, whichever their sign. Items beyond the `ease_items` most bought have none.

    Source: EASE, Steck 2019 (doi:10.1145/3308558.3313710).
    """
    import numpy as np

    taught = ones(_teachers(people, config))
    bought_by = np.asarray(taught.sum(axis=0)).ravel()
    items = np.sort(np.argsort(-bought_by, kind="stable")[: config.ease_items])
    items = items[bought_by[items] > 0]
    found = _empty(len(bought_by), config)
    if len(items) < 2:
        return found
    few = taught[:, items]
    gram = (few.T @ few).toarray()
    gram[np.diag_indices(len(items))] += config.ease_l2
    inverse = _inverted(gram)
    on_diagonal = np.diag(inverse).copy()
    k = min(found.index.shape[1], len(items))
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        stop = min(start + _ITEMS_AT_ONCE, len(items))
        block = inverse[start:stop] / -on_diagonal[start:stop, None]
        block[range(stop - start), range(start, stop)] = 0
        strongest = top_k(np.abs(block), k)
        found.index[items[start:stop], :k] = items[strongest]
        found.weight[items[start:stop], :k] = np.take_along_axis(block, strongest, axis=1)
    return found


def _inverted(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric positive definite matrix, which is overwritten.

    By Cholesky; a large one by four blocks (of which LAPACK, whose integers have 32 bits, crashes).
    """
    import numpy as np
    from scipy import linalg

    n = len(matrix)
    if n <= _LAPACK_TAKES:
        # in place: the matrix of some ten thousand items is what there is memory for
        factor, _ = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        (invert,) = linalg.get_lapack_funcs(("potri",), (factor,))
        inverse, _ = invert(factor, lower=1, overwrite_c=1)
        for start in range(0, n, _ITEMS_AT_ONCE):
            # LAPACK fills the lower triangle alone
            part = slice(start, start + _ITEMS_AT_ONCE)
            within = np.tril(inverse[part, part])
            inverse[part, part] = within + np.tril(within, -1).T
            inverse[part, part.stop :] = inverse[part.stop :, part].T
        return inverse
    half = n // 2
    first, second = slice(0, half), slice(half, n)
    of_first = _inverted(matrix[first, first].copy())
    onto_first = matrix[second, first] @ of_first
    of_second = _inverted(matrix[second, second] - onto_first @ matrix[first, second])
    matrix[second, second] = of_second
    matrix[second, first] = -(of_second @ onto_first)
    matrix[first, second] = matrix[second, first].T
    matrix[first, first] = of_first - onto_first.T @ matrix[second, first]
    return matrix


def alike(names: Sequence[str], config: RecommendationConfig) -> Neighbours:
    """Cosine of the words in the items' names and categories (TF-IDF): all that is known of an item that nobody has
    bought."""
    import numpy as np
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = _empty(len(names), config)
    try:
        words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(names)
    except ValueError:  # no word occurs twice
        return found
    words = sp.csr_matrix(words, dtype=np.float32)
    # beside the words of an item stands the item, which is not like itself
    left = sp.csr_matrix(sp.hstack([words, diagonal(np.ones(len(names)))]))
    right = sp.csr_matrix(sp.vstack([words.T, never(len(names))]))
    for start in range(0, len(names), _ITEMS_AT_ONCE):
        _keep(found, start, top_of_product(left[start : start + _ITEMS_AT_ONCE], right, found.index.shape[1]))
    return found


def _teachers(people: sp.csr_matrix, config: RecommendationConfig) -> sp.csr_matrix:
    """Those of the people who teach: who has something, and not thousands of items. A copy."""
    import numpy as np

    per_profile = people.getnnz(axis=1)
    return people[(per_profile > 0) & (per_profile <= config.max_profile_items)].astype(np.float32)


def _empty(n_items: int, config: RecommendationConfig) -> Neighbours:
    import numpy as np

    k = min(config.n_neighbours, n_items)
    return Neighbours(np.zeros((n_items, k), np.int32), np.zeros((n_items, k), np.float32))


def _keep(found: Neighbours, start: int, best: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Write the `best` (item from `start` on, neighbour, weight), in order, into their items."""
    row, neighbour, weight = best
    place = rank_in(row) - 1
    found.index[start + row, place] = neighbour
    found.weight[start + row, place] = weight


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k best scores per row, best first; equal scores go to the lower column. int64 (rows, k)."""
    import numpy as np

    k = min(k, scores.shape[1])
    if k > scores.shape[1] // 8:
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]
    taken = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, taken, axis=1), axis=1, kind="stable")
    return np.take_along_axis(taken, order, axis=1)
