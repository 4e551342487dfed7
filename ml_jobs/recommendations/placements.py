"""Where products are shown beside the newsletter: at a cart, and after a purchase.

Each starts from a context, the items in the cart or of the last order, and has people: those who have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_jobs.recommendations.features import DAY, matrix_of

if TYPE_CHECKING:
    import scipy.sparse as sp

    from ml_jobs.recommendations.pairs import Known

EMAIL = "email"
CART = "cart"
POST_PURCHASE = "post_purchase"
CONTEXT = "context"
"""Method of a placement: by what is bought and viewed together with the context, instead of by the whole history."""


@dataclass(frozen=True)
class Placement:
    """One of them, as known at an instant."""

    name: str
    context: sp.csr_matrix
    """People × items: 1 where the item is in it."""
    left_out: sp.csr_matrix
    """What is not offered there: non-zero."""


def placements_of(known: Known) -> list[Placement]:
    """CART: what was put into it within `cart_days` and not bought since; that itself is left out. POST_PURCHASE: the
    last order, if it is not older than `post_purchase_days`; all that the person ever bought is left out."""
    cart = _carts(known)
    rows = known.rows
    newest = (rows.order == 0) & (rows.age < known.config.post_purchase_days)
    last_order = matrix_of(rows.buyer[newest], rows.item[newest], newest[newest], known.shape)
    return [Placement(CART, cart, cart), Placement(POST_PURCHASE, last_order, known.history.purchases)]


def _carts(known: Known) -> sp.csr_matrix:
    import numpy as np

    data, at, n_items = known.data, known.at, max(known.shape[1], 1)
    put = data.is_cart & (data.viewed_at < at) & (data.viewed_at >= at - known.config.cart_days * DAY)
    pairs, which = np.unique(data.viewer[put] * n_items + data.viewed[put], return_inverse=True)
    put_at = np.zeros(len(pairs), np.int64)
    np.maximum.at(put_at, which, data.viewed_at[put])
    if len(pairs):
        before = data.bought_at < at
        bought, bought_at = data.buyer[before] * n_items + data.bought[before], data.bought_at[before]
        where = np.searchsorted(pairs, bought).clip(max=len(pairs) - 1)
        since = (pairs[where] == bought) & (bought_at >= put_at[where])
        pairs = np.delete(pairs, where[since])
    return matrix_of(pairs // n_items, pairs % n_items, np.ones(len(pairs)), known.shape)
