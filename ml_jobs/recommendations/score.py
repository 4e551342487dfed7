"""The best items of each person, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.features import History
from ml_jobs.recommendations.model import Scorer, to_best
from ml_jobs.recommendations.neighbours import Neighbours, top_k

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

BOUGHT_BEFORE, BOUGHT_WITH, VIEWED_BEFORE, VIEWED_WITH, NAMED_ALIKE, POPULAR = range(6)
REASONS = (
    "bought before", "bought with {product}", "viewed before", "viewed with {product}", "similar to {product}",
    "popular",
)  # fmt: skip
_REASON_OF = {"bought": BOUGHT_WITH, "ease": BOUGHT_WITH, "viewed": VIEWED_WITH, "names": NAMED_ALIKE}


@dataclass(frozen=True)
class Candidates:
    """One entry per person and candidate, best first within a person. Codes are positions in the model's items."""

    profile: np.ndarray
    product: np.ndarray
    rank: np.ndarray
    """From 1."""
    score: np.ndarray
    reason: np.ndarray
    """Position in REASONS."""
    evidence: np.ndarray
    """The item that speaks for it ("bought with …"); itself for the other reasons."""


def top_candidates(scorer: Scorer, profiles: np.ndarray, is_eligible: np.ndarray, n: int, chunk: int) -> Candidates:
    """The best `n` eligible items of each of `profiles` (rows of the scorer's history), in chunks of people.

    Never an item that is not eligible (bool per item), that the person sent back, or for which nothing personal speaks.
    """
    import numpy as np

    history = scorer.known.history
    pieces: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(profiles), chunk):
        people = profiles[start : start + chunk]
        evidence = scorer.evidence(people)
        scores = scorer.scores(people, evidence)
        scores[:, ~is_eligible] = 0
        returned = history.returned[people].tocoo()
        scores[returned.row, returned.col] = 0
        best = top_k(scores, n)
        value = np.take_along_axis(scores, best, axis=1)
        row, column = np.nonzero(value > 0)
        item = best[row, column]
        reason, why = _reasons(scorer, history, people, evidence, row, item)
        pieces.append((people[row], item, column + 1, value[row, column], reason, why))
    columns = [np.concatenate(part) for part in zip(*pieces, strict=True)] if pieces else [np.empty(0)] * 6
    profile, product, rank, score, reason, why = columns
    return Candidates(profile, product.astype(np.int64), rank.astype(np.int32), score, reason, why.astype(np.int64))


def _reasons(
    scorer: Scorer,
    history: History,
    people: np.ndarray,
    evidence: dict[str, np.ndarray],
    row: np.ndarray,
    item: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest single reason for each (row, item), and the item that gives it."""
    import numpy as np

    model = scorer.model
    purchases, views = history.purchases[people], history.views[people]
    own = np.asarray(purchases[row, item]).ravel() > 0
    reason = np.where(own, BOUGHT_BEFORE, POPULAR).astype(np.int8)
    why = item.copy()
    # sources by what each says of the pair, in shares of what it says of the person's best item
    names = [name for name in _REASON_OF if name in model.sources]
    said = np.column_stack([to_best(evidence[name])[row, item] * _weight(scorer, name) for name in names])
    strongest = said.argmax(axis=1)
    for number, name in enumerate(names):
        # the search is the dear part of scoring: only where its answer is told
        of = np.flatnonzero(~own & (strongest == number) & (said[:, number] > 0))
        of_whom = views if name == "viewed" else purchases
        why[of] = _strongest(model.sources[name], of_whom, row[of], item[of])
        reason[of] = _REASON_OF[name]
    reason[(reason == VIEWED_WITH) & (why == item)] = VIEWED_BEFORE
    return reason, why


def _weight(scorer: Scorer, name: str) -> float:
    return scorer.model.view_weight if name == "viewed" else 1.0


def _strongest(neighbours: Neighbours, history: sp.csr_matrix, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Per (row, item) the neighbour that contributes most: weight × log(1 + its weight in the history)."""
    import numpy as np

    weights = np.log1p(history.toarray())
    found = np.empty(len(row), np.int64)
    for start in range(0, len(row), 8192):
        part = slice(start, start + 8192)
        index = neighbours.index[item[part]]
        share = neighbours.weight[item[part]] * weights[row[part][:, None], index]
        best = share.argmax(axis=1)
        found[part] = index[np.arange(len(best)), best]
    return found
