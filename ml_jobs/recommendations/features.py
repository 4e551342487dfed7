"""Who bought and viewed what, and what of it was known at an instant T.

Everything is filtered by the event's own instant, so that one read serves today's model and its back-test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs.io import codes_of, distinct_values, micros, read_table, require_columns, to_micros
from ml_jobs.recommendations.config import RecommendationConfig
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

NEVER = 2**62
"""Microseconds: an instant after all others."""
DAY = 86_400_000_000
"""Microseconds of a day."""

_NEEDED = {
    "fct_order_lines": (
        "profile_id", "order_id", "product_id", "ordered_at", "quantity", "net_quantity", "last_returned_at",
    ),
    "fct_web_events": ("profile_id", "event_name", "product_id", "occurred_at"),
    "dim_products": ("product_id", "product_name", "category", "price", "is_in_stock", "is_product"),
}  # fmt: skip


@dataclass(frozen=True)
class Interactions:
    """Purchases (one per person, order and product) and views (one per event) before `as_of`, by code.

    Codes are positions in the sorted `profile_ids` and `product_ids`; instants are microseconds since 1970.
    """

    as_of: int
    profile_ids: np.ndarray
    product_ids: np.ndarray
    """Real products alone: postage, fees and samples are no recommendations."""
    product_names: np.ndarray
    categories: np.ndarray
    """'' where there is none."""
    is_eligible: np.ndarray
    """bool (items,): in stock and priced above zero, at `as_of`."""
    buyer: np.ndarray
    bought: np.ndarray
    bought_at: np.ndarray
    is_kept: np.ndarray
    """bool (purchases,): not everything of it was sent back."""
    returned_at: np.ndarray
    """Newest return of any part of it, else NEVER."""
    viewer: np.ndarray
    viewed: np.ndarray
    viewed_at: np.ndarray
    view_weight: np.ndarray
    """float (views,): 1 for a view, `cart_weight` for a product put into the cart."""
    is_cart: np.ndarray
    """bool (views,): put into the cart."""


@dataclass(frozen=True)
class History:
    """What was known at T, as sparse matrices (profiles × items)."""

    purchases: sp.csr_matrix
    """Number of orders with the item."""
    views: sp.csr_matrix
    """Sum of decayed view weights."""
    returned: sp.csr_matrix
    """1 where the person sent back any of the item."""
    popularity: np.ndarray
    """float32 (items,): distinct buyers of the last days, scaled to a maximum of 1."""


def read_interactions(settings: Settings, as_of: datetime, config: RecommendationConfig) -> Interactions:
    """Read purchases, views and the catalogue; the connection is closed before anything is computed.

    Raises:
        FeatureTableError: a relation or columns are missing.
    """
    import numpy as np

    schema = settings.schema
    with connect(settings, read_only=True, purpose="read interactions") as con:
        require_columns(con, schema, _NEEDED)
        products = read_table(
            con,
            f"""select product_id, coalesce(product_name, product_id) as product_name,
                   coalesce(category, '') as category,
                   coalesce(is_in_stock, false) and coalesce(price, 0) > 0 as is_eligible
                from "{schema}".dim_products where is_product order by product_id""",
        )
        lines = read_table(
            con,
            f"""select profile_id, product_id, min(ordered_at) as bought_at,
                   max(case when net_quantity > 0 then 1 else 0 end) as is_kept,
                   max(last_returned_at) as returned_at
                from "{schema}".fct_order_lines
                where profile_id is not null and product_id is not null and quantity > 0 and ordered_at < ?
                group by profile_id, product_id, order_id
                order by profile_id, product_id, bought_at, order_id""",
            [as_of],
            encode=("profile_id", "product_id"),
        )
        views = read_table(
            con,
            f"""select profile_id, product_id, occurred_at as viewed_at,
                   case when event_name = 'Product Added' then 1 else 0 end as is_cart
                from "{schema}".fct_web_events
                where profile_id is not null and product_id is not null and occurred_at < ?
                  and event_name in ('Product Viewed', 'Product Added')
                order by profile_id, product_id, viewed_at, is_cart""",
            [as_of],
            encode=("profile_id", "product_id"),
        )
    product_ids = np.asarray(products["product_id"].to_pylist(), dtype=object)
    known = {*distinct_values(lines, "profile_id"), *distinct_values(views, "profile_id")}
    profile_ids = np.asarray(sorted(known), dtype=object)
    order = np.argsort(product_ids)  # the engine's collation need not be Python's
    product_ids = product_ids[order]
    bought = codes_of(lines, "product_id", product_ids)
    viewed = codes_of(views, "product_id", product_ids)
    line, view = bought >= 0, viewed >= 0
    is_cart = views["is_cart"].to_numpy() == 1
    return Interactions(
        as_of=to_micros(as_of),
        profile_ids=profile_ids,
        product_ids=product_ids,
        product_names=np.asarray(products["product_name"].to_pylist(), dtype=object)[order],
        categories=np.asarray(products["category"].to_pylist(), dtype=object)[order],
        is_eligible=np.asarray(products["is_eligible"].to_pylist(), dtype=bool)[order],
        buyer=codes_of(lines, "profile_id", profile_ids)[line],
        bought=bought[line],
        bought_at=micros(lines, "bought_at", missing=NEVER)[line],
        is_kept=(lines["is_kept"].to_numpy() == 1)[line],
        returned_at=micros(lines, "returned_at", missing=NEVER)[line],
        viewer=codes_of(views, "profile_id", profile_ids)[view],
        viewed=viewed[view],
        viewed_at=micros(views, "viewed_at", missing=NEVER)[view],
        view_weight=np.where(is_cart, config.cart_weight, 1.0)[view],
        is_cart=is_cart[view],
    )


def history_at(data: Interactions, at: int, config: RecommendationConfig) -> History:
    """What was known at `at` (microseconds): rows before it alone, and returns as they stood then.

    A purchase that was sent back after `at` still counted at `at`. (Of several returns of one line the mart keeps the
    newest instant, so a purchase with returns before *and* after `at` counts as not yet returned.)
    """
    import numpy as np

    shape = (len(data.profile_ids), len(data.product_ids))
    before = data.bought_at < at
    counts = before & counted_at(data, at)
    purchases = matrix_of(data.buyer[counts], data.bought[counts], np.ones(counts.sum()), shape)
    back = before & (data.returned_at < at)
    returned = matrix_of(data.buyer[back], data.bought[back], np.ones(back.sum()), shape)
    seen = data.viewed_at < at
    weight = data.view_weight[seen] * 0.5 ** ((at - data.viewed_at[seen]) / DAY / config.view_half_life_days)
    views = matrix_of(data.viewer[seen], data.viewed[seen], weight, shape)
    views.data[views.data < 1e-3] = 0  # ten half-lives ago: forgotten, and the matrix stays sparse
    views.eliminate_zeros()
    recent = counts & (data.bought_at >= at - config.popularity_days * DAY)
    pairs = matrix_of(data.buyer[recent], data.bought[recent], np.ones(recent.sum()), shape)
    buyers = pairs.getnnz(axis=0).astype(np.float32)
    return History(purchases, views, returned, buyers / max(float(buyers.max(initial=0)), 1.0))


def counted_at(data: Interactions, at: int) -> np.ndarray:
    """bool (purchases,): before `at` it was not known that all of it would come back."""
    return data.is_kept | (data.returned_at >= at)


def matrix_of(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """float32; values of the same cell are added."""
    import numpy as np
    import scipy.sparse as sp

    summed = sp.csr_matrix((values.astype(np.float32), (rows, columns)), shape=shape)
    summed.sum_duplicates()
    return summed


def values_at(matrix: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values of some cells: (cells,), also of none (scipy answers that with a matrix)."""
    import numpy as np

    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.zeros(0, np.float32)


def bought_between(data: Interactions, start: int, end: int, known_at: int | None = None) -> sp.csr_matrix:
    """1 where the person bought the item in [start, end), and kept it as far as was known at `known_at`, or is known
    now. Profiles × items."""
    import numpy as np

    is_kept = data.is_kept if known_at is None else counted_at(data, known_at)
    rows = (data.bought_at >= start) & (data.bought_at < end) & is_kept
    shape = (len(data.profile_ids), len(data.product_ids))
    matrix = matrix_of(data.buyer[rows], data.bought[rows], np.ones(rows.sum()), shape)
    matrix.data[:] = 1
    return matrix


def in_items_of(data: Interactions, product_ids: np.ndarray) -> Interactions:
    """The same interactions with item codes of a model that was fitted on another day's catalogue.

    Items that the model does not know are dropped; items that left the catalogue stay as evidence, never eligible.
    """
    import numpy as np

    if np.array_equal(data.product_ids, product_ids):
        return data
    at = np.searchsorted(product_ids, data.product_ids).clip(max=max(len(product_ids) - 1, 0))
    code = np.where(product_ids[at] == data.product_ids, at, -1)
    known = code >= 0
    names, categories = product_ids.copy(), np.full(len(product_ids), "", object)
    is_eligible = np.zeros(len(product_ids), bool)
    for ours, theirs in (
        (names, data.product_names), (categories, data.categories), (is_eligible, data.is_eligible)
    ):  # fmt: skip
        ours[code[known]] = theirs[known]
    line, view = known[data.bought], known[data.viewed]
    return replace(
        data,
        product_ids=product_ids,
        product_names=names,
        categories=categories,
        is_eligible=is_eligible,
        buyer=data.buyer[line],
        bought=code[data.bought[line]],
        bought_at=data.bought_at[line],
        is_kept=data.is_kept[line],
        returned_at=data.returned_at[line],
        viewer=data.viewer[view],
        viewed=code[data.viewed[view]],
        viewed_at=data.viewed_at[view],
        view_weight=data.view_weight[view],
        is_cart=data.is_cart[view],
    )
