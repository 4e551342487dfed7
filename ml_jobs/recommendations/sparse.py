"""Products of sparse matrices, and the best of each of their rows: what makes scoring many people cheap.

A row of a product is never spelled out: of what a person's history says of all items only the best is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

_NEVER = -1e9
"""Weight of what is not offered: no evidence adds up to that."""


def top_of_product(left: sp.csr_matrix, right: sp.csr_matrix, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, value) of the `n` greatest positive values in each row of left @ right, as `top_of` orders them.

    Which of several equal values at the end of a row are kept depends on that row alone, but not on their columns.
    """
    import numpy as np
    from sparse_dot_topn import sp_matmul_topn

    found = sp_matmul_topn(left, right, top_n=n, threshold=0.0)
    per_row = found.getnnz(axis=1)
    row = np.repeat(np.arange(len(per_row)), per_row)
    return top_of(row, found.indices.astype(np.int64), found.data, n)


def top_of(row: np.ndarray, column: np.ndarray, value: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of values that are there already: by row, the greatest first; equal ones go to the lower column."""
    import numpy as np

    positive = value > 0
    row, column, value = row[positive], column[positive], value[positive]
    order = np.lexsort((column, -value, row))
    order = order[rank_in(row[order]) <= n]
    return row[order], column[order], value[order]


def rank_in(row: np.ndarray) -> np.ndarray:
    """From 1: which entry of its row each is, of rows in order."""
    import numpy as np

    number = np.arange(len(row))
    is_first = np.diff(row, prepend=-1) != 0
    return number - np.maximum.accumulate(np.where(is_first, number, 0)) + 1


def greatest(left: sp.csr_matrix, right: sp.csr_matrix) -> np.ndarray:
    """float32 (rows,): the greatest value of each row of left @ right; 0 where none is above."""
    import numpy as np

    row, _, value = top_of_product(left, right, 1)
    found = np.zeros(len(left.indptr) - 1, np.float32)
    found[row] = value
    return found


def said_most(
    history: sp.csr_matrix, speakers: sp.csr_matrix, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """At some cells: (value of history @ speakers.T, the evidence of its greatest term, or the cell's own column where
    nothing speaks for it). `speakers`: candidates × evidence."""
    import numpy as np

    terms = history[row].multiply(speakers[column]).tocsr()
    value = np.asarray(terms.sum(axis=1)).ravel()
    most = column.copy()
    at, which, _ = top_of(np.repeat(np.arange(len(row)), np.diff(terms.indptr)), terms.indices, terms.data, 1)
    most[at] = which
    return value, most


def scaled(matrix: sp.csr_matrix, by: np.ndarray) -> sp.csr_matrix:
    """Each row times its factor."""
    import numpy as np

    result = matrix.copy()
    result.data = matrix.data * np.repeat(by.astype(np.float32), np.diff(matrix.indptr))
    return result


def inverse_of(values: np.ndarray) -> np.ndarray:
    """1 / value; 0 where there is nothing to divide by."""
    import numpy as np

    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def diagonal(values: np.ndarray) -> sp.csr_matrix:
    """float32 (values, values)"""
    import numpy as np
    import scipy.sparse as sp

    return sp.csr_matrix(sp.diags_array(values.astype(np.float32)))


def never(n: int) -> sp.csr_matrix:
    """float32 (n, n): below `right`, what keeps those items out that stand beside `left`."""
    import numpy as np

    return diagonal(np.full(n, _NEVER))


def logs(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """log(1 + value)"""
    import numpy as np

    result = matrix.copy()
    result.data = np.log1p(result.data)
    return result


def ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """1 where there is something."""
    result = matrix.copy()
    result.data[:] = 1
    return result
