"""The best items of each person, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.features import values_at
from ml_jobs.recommendations.model import Scorer, to_best
from ml_jobs.recommendations.neighbours import Neighbours, top_k
from ml_jobs.recommendations.placements import CONTEXT, Placement

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


def top_candidates(
    scorer: Scorer,
    profiles: np.ndarray,
    is_eligible: np.ndarray,
    n: int,
    chunk: int,
    placement: Placement | None = None,
    method: str | None = None,
) -> Candidates:
    """The best `n` eligible items of each of `profiles` (rows of the scorer's history), in chunks of people.

    Never an item that is not eligible (bool per item), that the person sent back, or for which nothing personal speaks.
    At a `placement` nor what is left out there; by its `method`, CONTEXT or the model's own.
    """
    import numpy as np

    pieces: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(profiles), chunk):
        people = profiles[start : start + chunk]
        context = placement.context[people] if placement is not None and method == CONTEXT else None
        evidence = scorer.evidence(people) if context is None else {}
        scores = scorer.scores(people, evidence) if context is None else scorer.from_context(context)
        scores[:, ~is_eligible] = 0
        for denied in (scorer.known.history.returned, *((placement.left_out,) if placement else ())):
            out = denied[people].tocoo()
            scores[out.row, out.col] = 0
        best = top_k(scores, n)
        value = np.take_along_axis(scores, best, axis=1)
        row, column = np.nonzero(value > 0)
        item = best[row, column]
        if context is None:
            reason, why = _reasons(scorer, people, evidence, row, item)
        else:
            reason, why = _reasons_of(scorer, context, row, item)
        pieces.append((people[row], item, column + 1, value[row, column], reason, why))
    columns = [np.concatenate(part) for part in zip(*pieces, strict=True)] if pieces else [np.empty(0)] * 6
    profile, product, rank, score, reason, why = columns
    return Candidates(profile, product.astype(np.int64), rank.astype(np.int32), score, reason, why.astype(np.int64))


def _reasons(
    scorer: Scorer, people: np.ndarray, evidence: dict[str, np.ndarray], row: np.ndarray, item: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest single reason for each (row, item), and the item that gives it."""
    import numpy as np

    history = scorer.known.history
    purchases, views = history.purchases[people], history.views[people]
    own = values_at(purchases, row, item) > 0
    names = [name for name in _REASON_OF if name in evidence]
    # sources by what each says of the pair, in shares of what it says of the person's best item
    said = np.column_stack([to_best(evidence[name])[row, item] * _weight(scorer, name) for name in names])
    of_whom = {name: views if name == "viewed" else purchases for name in names}
    reason, why = _told(scorer, said, of_whom, ~own, row, item)
    reason[own] = BOUGHT_BEFORE
    reason[(reason == VIEWED_WITH) & (why == item)] = VIEWED_BEFORE
    return reason, why


def _reasons_of(
    scorer: Scorer, context: sp.csr_matrix, row: np.ndarray, item: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The item of `context` that speaks most for each (row, item)."""
    import numpy as np

    names = ("bought", "viewed")
    said = [to_best(scorer.known.said_by(context, name))[row, item] * _weight(scorer, name) for name in names]
    return _told(scorer, np.column_stack(said), dict.fromkeys(names, context), np.ones(len(row), bool), row, item)


def _told(
    scorer: Scorer,
    said: np.ndarray,
    of_whom: dict[str, sp.csr_matrix],
    wanted: np.ndarray,
    row: np.ndarray,
    item: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(reason, item that gives it) of the pairs that are `wanted`, by the source that says most (columns of `said`)."""
    import numpy as np

    reason, why = np.full(len(row), POPULAR, np.int8), item.copy()
    strongest = said.argmax(axis=1)
    for number, (name, history) in enumerate(of_whom.items()):
        # the search is the dear part of scoring: only where its answer is told
        of = np.flatnonzero(wanted & (strongest == number) & (said[:, number] > 0))
        why[of] = _strongest(scorer.model.sources[name], history, row[of], item[of])
        reason[of] = _REASON_OF[name]
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
