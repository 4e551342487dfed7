"""Products of sparse matrices, and the best of each of their rows: what makes scoring many people cheap.

A row of a product is never spelled out: of what a person's history says of all items only the best is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

_CELLS_AT_ONCE = 2_000_000
"""What fits a processor's cache."""
_NEVER = -1e9
"""Weight of what is not offered: no evidence adds up to that."""


def greatest_of_product(left: sp.csr_matrix, right: sp.csr_matrix, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, value) of the `n` greatest positive values in each row of left @ right, by row and in no order.

    Which of several equal values are kept depends on that row alone, but not on their columns.
    """
    import numpy as np
    from sparse_dot_topn import sp_matmul_topn

    found = sp_matmul_topn(left, right, top_n=n, threshold=0.0)
    per_row = found.getnnz(axis=1)
    positive = found.data > 0
    row = np.repeat(np.arange(len(per_row)), per_row)[positive]
    return row, found.indices[positive].astype(np.int64), found.data[positive]


def top_of_product(left: sp.csr_matrix, right: sp.csr_matrix, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same in the order of `top_of`."""
    return top_of(*greatest_of_product(left, right, n), n)


def top_of(row: np.ndarray, column: np.ndarray, value: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of values that are there already: by row, the greatest positive ones first; equal ones go to the lower column."""
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


def best_of_product(left: sp.csr_matrix, right: sp.csr_matrix) -> np.ndarray:
    """float32 (rows,): the greatest value of each row of left @ right; 0 where none is above."""
    import numpy as np

    row, _, value = greatest_of_product(left, right, 1)
    found = np.zeros(left.get_shape()[0], np.float32)
    found[row] = value
    return found


def values_of_product(
    left: sp.csr_matrix, right: sp.csr_matrix, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """float32: left @ right at some cells, whose `row` is in order, and the greatest value of each row, at least 0."""
    import numpy as np
    import scipy.sparse as sp

    (n_rows, _), (_, n_columns) = left.get_shape(), right.get_shape()
    values, best = np.zeros(len(row), np.float32), np.zeros(n_rows, np.float32)
    at_once = max(_CELLS_AT_ONCE // max(n_columns, 1), 1)
    spelled_out = np.empty((min(at_once, n_rows), n_columns), np.float32)
    for start in range(0, n_rows, at_once):
        some = left[start : start + at_once]
        block = sp.csr_matrix(some @ right).toarray(out=spelled_out[: some.get_shape()[0]])
        cells = slice(*np.searchsorted(row, [start, start + at_once]))
        values[cells] = block[row[cells] - start, column[cells]]
        best[start : start + at_once] = block.max(axis=1, initial=0)
    return values, best


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
