"""What was known at an instant T of a person and an item together: the columns that the ranker reads.

Everything is taken from rows before T, by the same code for the windows that it learns from and for today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import DAY, History, Interactions, counted_at, history_at, matrix_of, values_at
from ml_jobs.recommendations.neighbours import Neighbours, alike, cosine, ease
from ml_jobs.recommendations.sparse import greatest_of_product, inverse_of, logs, never, ones, values_of_product

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

SOURCES = ("bought", "viewed", "ease", "names")
"""Four ways to weigh what speaks for an item: bought together, viewed together, foretold by EASE, named alike."""

_OWN = (
    "orders_with_it", "share_of_orders", "days_since", "days_since_first", "days_between", "due", "recent_30d",
    "recent_90d", "orders_since",
)  # fmt: skip
_PERSON = (
    "orders",
    "items",
    "days_since_order",
    "tenure_days",
    "basket_size",
    "repeat_share",
    "order_gap",
    "order_due",
)
_ITEM = (
    "buyers_7d", "buyers_28d", "buyers_90d", "buyers", "trend_28d", "trend_7d", "days_on_sale", "days_unsold",
    "bought_again", "bought_again_30d",
)  # fmt: skip
EVIDENCE = ("bought", "bought_lately", "bought_last", "ease", "ease_last", "viewed", "names")
"""What speaks for an item: a source, asked with all of a person's history or with what is newest of it."""
_SOURCE_OF = {"bought_lately": "bought", "bought_last": "bought", "ease_last": "ease"}
FEATURES: tuple[str, ...] = (*_OWN, "views", *_PERSON, *_ITEM, *EVIDENCE, *(f"{name}_to_best" for name in EVIDENCE))
"""Columns of `Known.features`, in order. Days are counted back from T; −1 where there is nothing to count from."""


def sources_of(
    history: History,
    data: Interactions,
    config: RecommendationConfig,
    names: Sequence[str] = SOURCES,
    given: Mapping[str, Neighbours] | None = None,
) -> dict[str, Neighbours]:
    """Those `names` of SOURCES, from what was known at T (the items' own names and categories are the catalogue's), but
    for what is `given`."""
    make: dict[str, Callable[[], Neighbours]] = {
        "bought": lambda: cosine(history.purchases, config),
        "viewed": lambda: cosine(history.views, config, with_itself=True),
        "ease": lambda: ease(history.purchases, config),
        "names": lambda: named_alike(data, config),
    }
    return {name: (given or {}).get(name) or make[name]() for name in names}


def named_alike(data: Interactions, config: RecommendationConfig) -> Neighbours:
    """Of SOURCES, `names`: the same at any instant."""
    words = [f"{name} {category}" for name, category in zip(data.product_names, data.categories, strict=True)]
    return alike(words, config)


@dataclass(frozen=True)
class Rows:
    """Purchases before T that count, one per person, order and item."""

    buyer: np.ndarray
    item: np.ndarray
    age: np.ndarray
    """Days before T."""
    order: np.ndarray
    """0 for the person's newest order, 1 for the one before. What a person bought at one instant is one order."""


@dataclass(frozen=True)
class _Columns:
    keys: np.ndarray
    """int64, in order: person × number of items + item of each pair that met."""
    pairs: np.ndarray
    """float32 (pairs + 1, columns of _OWN but the share); the last row is that of a pair that never met."""
    people: np.ndarray
    """float32 (people, columns of _PERSON)"""
    items: np.ndarray
    """float32 (items, columns of _ITEM)"""


class Known:
    """What was known at `at` (microseconds) of people, of items, and of pairs of them."""

    def __init__(
        self, data: Interactions, at: int, sources: dict[str, Neighbours], config: RecommendationConfig
    ) -> None:
        """`sources` may be those of an earlier day: of a model that was stored."""
        self.config = config
        self.history = history_at(data, at, config)
        self.data = data
        self.at = at
        self.shape = (len(data.profile_ids), len(data.product_ids))
        self.weights = {name: one.as_matrix() for name, one in sources.items()}
        """Of each source: evidence × items, so that what is asked @ weights is what it says of every item."""

    @cached_property
    def rows(self) -> Rows:
        """Purchases before `at` that count."""
        return _rows_before(self.data, self.at)

    @cached_property
    def _columns(self) -> _Columns:
        return _columns_of(self.rows, self.shape)

    @cached_property
    def _lately(self) -> sp.csr_matrix:
        rows = self.rows
        return matrix_of(rows.buyer, rows.item, 0.5 ** (rows.age / self.config.lately_half_life_days), self.shape)

    @cached_property
    def _last(self) -> sp.csr_matrix:
        rows = self.rows
        last = rows.order < self.config.last_orders
        return ones(matrix_of(rows.buyer[last], rows.item[last], last[last], self.shape))

    @cached_property
    def speakers(self) -> dict[str, sp.csr_matrix]:
        """The same, items × evidence: who speaks for each item."""
        return {name: weights.T.tocsr() for name, weights in self.weights.items()}

    @cached_property
    def _others(self) -> dict[str, sp.csr_matrix]:
        """The weights of each source, above what keeps a person's own items out."""
        import scipy.sparse as sp

        keep_out = never(self.shape[1])
        return {name: sp.csr_matrix(sp.vstack([weights, keep_out])) for name, weights in self.weights.items()}

    def asked(self, name: str, people: np.ndarray) -> sp.csr_matrix:
        """float32 (people, items): what of their histories is this EVIDENCE."""
        if name == "bought_lately":
            return logs(self._lately[people])
        if name in ("bought_last", "ease_last"):
            return self._last[people]
        if name == "viewed":
            return logs(self.history.views[people])
        purchases = self.history.purchases[people]
        return logs(purchases) if name == "bought" else ones(purchases)

    def candidates(self, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(position in `people`, item) of what deserves a closer look, in order: all that the person bought or viewed,
        the best others by each evidence, and what is popular."""
        import numpy as np
        import scipy.sparse as sp

        n = self.config.n_from_each
        own = sp.csr_matrix(self.history.purchases[people] + self.history.views[people])
        row, item = own.nonzero()
        popular = np.argsort(-self.history.popularity, kind="stable")[:n]
        popular = popular[self.history.popularity[popular] > 0]
        rows, items = [row, np.repeat(np.arange(len(people)), len(popular))], [item, np.tile(popular, len(people))]
        for name in EVIDENCE:
            others = self._others[_SOURCE_OF.get(name, name)]
            row, item, _ = greatest_of_product(sp.csr_matrix(sp.hstack([self.asked(name, people), own])), others, n)
            rows.append(row)
            items.append(item)
        keys = np.sort(np.concatenate(rows) * self.shape[1] + np.concatenate(items))
        keys = keys[np.diff(keys, prepend=-1) != 0]
        return keys // max(self.shape[1], 1), keys % max(self.shape[1], 1)

    def features(self, people: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
        """float32 (pairs, len(FEATURES)); `row` are positions in `people`, in order."""
        import numpy as np

        known = self._columns
        person = people[row]
        key = person * self.shape[1] + item
        at = np.searchsorted(known.keys, key)
        # the last row is that of a pair that never met
        own = known.pairs[np.where(np.append(known.keys, -1)[at] == key, at, len(known.keys))]
        share = own[:, :1] / np.maximum(known.people[person, :1], 1)
        views = values_at(self.history.views, person, item)[:, None]
        said, to_best = (np.empty((len(row), len(EVIDENCE)), np.float32) for _ in range(2))
        for number, name in enumerate(EVIDENCE):
            weights = self.weights[_SOURCE_OF.get(name, name)]
            said[:, number], best = values_of_product(self.asked(name, people), weights, row, item)
            to_best[:, number] = said[:, number] * inverse_of(best)[row]
        return np.hstack([own[:, :1], share, own[:, 1:], views, known.people[person], known.items[item], said, to_best])


def _rows_before(data: Interactions, at: int) -> Rows:
    import numpy as np

    kept = np.flatnonzero((data.bought_at < at) & counted_at(data, at))
    kept = kept[np.lexsort((data.bought_at[kept], data.bought[kept], data.buyer[kept]))]
    buyer, item, bought_at = data.buyer[kept], data.bought[kept], data.bought_at[kept]
    # orders of a person from the newest on
    by_time = np.lexsort((-bought_at, buyer))
    is_next = np.diff(bought_at[by_time], prepend=bought_at[by_time][:1]) != 0
    is_first = np.diff(buyer[by_time], prepend=-1) != 0
    number = np.cumsum(is_next | is_first)
    order = np.empty(len(kept), np.int64)
    order[by_time] = number - np.maximum.accumulate(np.where(is_first, number, 0))
    return Rows(buyer, item, (at - bought_at) / DAY, order)


def _columns_of(rows: Rows, shape: tuple[int, int]) -> _Columns:
    keys, pairs = _of_pairs(rows, shape[1])
    return _Columns(keys, pairs, _of_people(rows, keys // max(shape[1], 1), shape[0]), _of_items(rows, shape[1]))


def _of_pairs(rows: Rows, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """(keys, pairs) of `_Columns`."""
    import numpy as np

    key = rows.buyer * n_items + rows.item
    keys, start = np.unique(key, return_index=True)
    absent = np.array([[0, -1, -1, -1, -1, 0, 0, -1]], np.float32)
    if not len(keys):
        return keys, absent

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, start)

    n = total(np.ones(len(key)))
    newest, oldest = np.minimum.reduceat(rows.age, start), np.maximum.reduceat(rows.age, start)
    between = np.where(n > 1, (oldest - newest) / np.maximum(n - 1, 1), -1)
    due = np.divide(newest, between, out=np.full(len(n), -1.0), where=between > 0)
    recent = [total(0.5 ** (rows.age / half_life)) for half_life in (30, 90)]
    own = np.column_stack([n, newest, oldest, between, due, *recent, np.minimum.reduceat(rows.order, start)])
    return keys, np.vstack([own.astype(np.float32), absent])


def _of_people(rows: Rows, pair_of: np.ndarray, n_people: int) -> np.ndarray:
    """float32 (people, columns of _PERSON); zeros for those without an order."""
    import numpy as np

    lines, items = np.bincount(rows.buyer, minlength=n_people), np.bincount(pair_of, minlength=n_people)
    orders, since, tenure = (np.zeros(n_people) for _ in range(3))
    np.maximum.at(orders, rows.buyer, rows.order + 1)
    np.maximum.at(tenure, rows.buyer, rows.age)
    since[rows.buyer] = np.inf
    np.minimum.at(since, rows.buyer, rows.age)
    gap = tenure / np.maximum(orders, 1)
    columns = (
        orders, items, since, tenure, lines / np.maximum(orders, 1), 1 - items / np.maximum(lines, 1), gap,
        since / np.maximum(gap, 1),
    )  # fmt: skip
    return np.column_stack(columns).astype(np.float32)


def _of_items(rows: Rows, n_items: int) -> np.ndarray:
    """float32 (items, columns of _ITEM): buyers within days, how that changes, and how many come back."""
    import numpy as np

    def buyers(chosen: np.ndarray) -> np.ndarray:
        pairs = np.unique(rows.buyer[chosen] * n_items + rows.item[chosen])
        return np.bincount(pairs % max(n_items, 1), minlength=n_items).astype(float)

    week, month, quarter, ever = (buyers(rows.age < days) for days in (7, 28, 90, np.inf))
    on_sale, unsold = np.full(n_items, -1.0), np.full(n_items, np.inf)
    np.maximum.at(on_sale, rows.item, rows.age)
    np.minimum.at(unsold, rows.item, rows.age)
    unsold[np.isinf(unsold)] = -1
    key = rows.buyer * n_items + rows.item
    pairs, times = np.unique(key, return_counts=True)
    again = np.bincount(pairs[times > 1] % max(n_items, 1), minlength=n_items) / np.maximum(ever, 1)
    # of those who had it a month ago, and came back to the shop since: who bought it again
    is_recent = rows.age < 30
    before = np.unique(key[~is_recent])
    back = np.isin(before // max(n_items, 1), rows.buyer[is_recent])
    bought = np.isin(before, key[is_recent])
    could = np.bincount(before[back] % max(n_items, 1), minlength=n_items)
    did = np.bincount(before[bought] % max(n_items, 1), minlength=n_items)
    prior = did.sum() / max(could.sum(), 1)
    rate = (did + 10 * prior) / (could + 10)
    columns = (
        week, month, quarter, ever, (month + 1) / (quarter / 3 + 1), (4 * week + 1) / (month + 1), on_sale, unsold,
        again, rate,
    )  # fmt: skip
    return np.column_stack(columns).astype(np.float32)
