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
_PAIRS_AT_ONCE = 65_536
_ROWS_AT_ONCE = 512
_NEVER = -1e9
"""Weight of what is not offered: no evidence adds up to that."""


def greatest_of_product(left: sp.csr_matrix, right: sp.csr_matrix, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, value) of the `n` greatest positive values in each row of left @ right, by row and in no order.

    Which of several equal values are kept depends on that row alone, but not on their columns.
    """
    try:
        # it has no wheel for some machines (DECISIONLOG.md), and counts processors when it is imported
        from sparse_dot_topn import sp_matmul_topn
    except (ImportError, TypeError):
        return _greatest_by_sorting(left, right, n)
    return _positive(sp_matmul_topn(left, right, top_n=n, threshold=0.0))


def _greatest_by_sorting(
    left: sp.csr_matrix, right: sp.csr_matrix, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`greatest_of_product`, slower."""
    import numpy as np
    import scipy.sparse as sp

    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for start in range(0, left.get_shape()[0], _ROWS_AT_ONCE):
        row, column, value = top_of(*_positive(sp.csr_matrix(left[start : start + _ROWS_AT_ONCE] @ right)), n)
        found.append((start + row, column, value))
    row, column, value = (np.concatenate(part) for part in zip(*found, strict=True))
    return row, column, value


def _positive(matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, value), by row."""
    import numpy as np

    per_row = matrix.getnnz(axis=1)
    kept = matrix.data > 0
    return np.repeat(np.arange(len(per_row)), per_row)[kept], matrix.indices[kept].astype(np.int64), matrix.data[kept]


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

    value, most = np.zeros(len(row), np.float32), column.copy()
    for start in range(0, len(row), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        terms = history[row[part]].multiply(speakers[column[part]]).tocsr()
        value[part] = np.asarray(terms.sum(axis=1)).ravel()
        n_terms = np.diff(terms.indptr)
        cell = np.flatnonzero(n_terms)
        if not len(cell):
            continue
        of_cell = np.repeat(cell, n_terms[cell])
        strongest = np.zeros(len(n_terms), np.float32)
        strongest[cell] = np.maximum.reduceat(terms.data, terms.indptr[:-1][cell])
        at = np.flatnonzero((terms.data == strongest[of_cell]) & (terms.data > 0))
        # the first of equal ones
        at = at[np.diff(of_cell[at], prepend=-1) != 0]
        most[start + of_cell[at]] = terms.indices[at]
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
