"""The best items of each person, and why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.features import values_at
from ml_jobs.recommendations.model import LIKENESS, Scorer, sources_of_method
from ml_jobs.recommendations.placements import CONTEXT, Placement
from ml_jobs.recommendations.sparse import best_of_product, inverse_of, logs, rank_in, said_most

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
    n: int,
    chunk: int,
    placement: Placement | None = None,
    method: str | None = None,
) -> Candidates:
    """The best `n` items of each of `profiles` (rows of the scorer's history), in chunks of people.

    Never an item that is not offered, that the person sent back, or for which nothing personal speaks. At a `placement`
    nor what is left out there; by its `method`, CONTEXT or the model's own.
    """
    import numpy as np

    def of_chunk(start: int) -> tuple[np.ndarray, ...]:
        people = profiles[start : start + chunk]
        denied = scorer.known.history.returned[people]
        if placement is not None:
            denied = denied + placement.left_out[people]
        context = placement.context[people] if placement is not None and method == CONTEXT else None
        row, item, score = scorer.best(people, n, denied, context)
        reason, why = _reasons(scorer, people, context, row, item)
        return people[row], item, rank_in(row), score, reason, why

    with ThreadPoolExecutor(scorer.known.config.n_threads) as threads:
        pieces = list(threads.map(of_chunk, range(0, len(profiles), chunk)))
    columns = [np.concatenate(part) for part in zip(*pieces, strict=True)] if pieces else [np.empty(0)] * 6
    profile, product, rank, score, reason, why = columns
    return Candidates(profile, product.astype(np.int64), rank.astype(np.int32), score, reason, why.astype(np.int64))


def _reasons(
    scorer: Scorer, people: np.ndarray, context: sp.csr_matrix | None, row: np.ndarray, item: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each (row, item): the reason, and the item that gives it.

    It is that of the source that says most, in shares of what it says of the person's best item. What somebody bought
    before needs no other reason, unless a context asked.
    """
    import numpy as np

    known = scorer.known
    reason, why = np.full(len(row), POPULAR, np.int8), item.copy()
    own = np.zeros(len(row), bool)
    if context is None:
        own = values_at(known.history.purchases[people], row, item) > 0
    told, most = np.flatnonzero(~own), np.zeros(int((~own).sum()), np.float32)
    for name in sources_of_method(scorer.model.method) if context is None else LIKENESS:
        asked = known.asked(name, people) if context is None else logs(context)
        share = inverse_of(best_of_product(asked, known.weights[name])) * _weight(scorer, name)
        value, speaker = said_most(asked, known.speakers[name], row[told], item[told])
        value = value * share[row[told]]
        stronger = value > most
        most = np.maximum(most, value)
        reason[told[stronger]], why[told[stronger]] = _REASON_OF[name], speaker[stronger]
    reason[own] = BOUGHT_BEFORE
    reason[(reason == VIEWED_WITH) & (why == item) & (context is None)] = VIEWED_BEFORE
    return reason, why


def _weight(scorer: Scorer, name: str) -> float:
    return scorer.model.view_weight if name == "viewed" else 1.0
