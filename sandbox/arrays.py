"""Vectorized bricks: random streams, ids, text, money and instants as Arrow columns.

Instants are int64 microseconds since 1970 (UTC), money is int64 in 1/10,000, until they become columns.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# pyarrow makes these functions at run time, where a type checker cannot see them
pc: Any = importlib.import_module("pyarrow.compute")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
NEVER = np.iinfo(np.int64).max
"""An instant that does not come (a person who never signs up)."""

_HEX = np.array([[f"{i:02x}".encode()] for i in range(256)]).view("S1").reshape(256, 2)


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator per (seed, name), so that drawing more for one table leaves the others alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


def micros(instant: datetime) -> int:
    """Microseconds since 1970 of a naive UTC instant."""
    return round(instant.replace(tzinfo=UTC).timestamp()) * SECOND + instant.microsecond


def instants(values: Ints, missing: Bools | None = None) -> pa.Array:
    """timestamp[us] column; `NEVER` and masked values are null."""
    mask = values == NEVER
    if missing is not None:
        mask = mask | missing
    return pa.array(values.astype("datetime64[us]"), type=pa.timestamp("us"), mask=mask)


def hex_ids(rng: np.random.Generator, n: int, prefix: str = "") -> pa.Array:
    """n random 64-bit ids as 16 hex digits (collisions: 3e-8 at a million), optionally prefixed."""
    raw = rng.integers(0, 256, size=(n, 8), dtype=np.uint8)
    text = np.ascontiguousarray(_HEX[raw]).tobytes()
    offsets = np.arange(0, 16 * (n + 1), 16, dtype=np.int32)
    ids = pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text))
    return join(prefix, ids) if prefix else ids


def join(*parts: Any) -> pa.Array:
    """Element-wise concatenation of text: columns and constants; null where a part is null."""
    return pc.binary_join_element_wise(*parts, "")


def numbered(prefix: str, values: Ints, width: int = 0) -> pa.Array:
    """'prefix000123' per value."""
    digits = pc.cast(pa.array(values), pa.string())
    return join(prefix, pc.utf8_lpad(digits, width=width, padding="0") if width else digits)


def pick(values: Sequence[Any] | pa.Array, index: NDArray[Any]) -> pa.Array:
    """values[index]; a negative index gives null."""
    table: Any = values if isinstance(values, pa.Array) else pa.array(list(values))
    return table.take(pa.array(index, mask=index < 0))


def keep(column: pa.Array, present: Bools) -> pa.Array:
    """The column where present, null elsewhere."""
    return pc.if_else(pa.array(present), column, pa.scalar(None, column.type))


def merge(condition: Bools, yes: Any, no: Any) -> pa.Array:
    """Element-wise choice between two columns or constants."""
    return pc.if_else(pa.array(condition), yes, no)


def money(ten_thousandths: Ints) -> pa.Array:
    """decimal(18,4) column from integers in 1/10,000."""
    words = np.empty((len(ten_thousandths), 2), dtype=np.int64)
    words[:, 0] = ten_thousandths
    words[:, 1] = np.where(ten_thousandths < 0, -1, 0)  # sign extension of a 128-bit integer
    return pa.Array.from_buffers(pa.decimal128(18, 4), len(words), [None, pa.py_buffer(words)])


def cents_text(ten_thousandths: Ints) -> pa.Array:
    """'12.34' per value (JSON number), rounded down to cents, for values >= 0."""
    cents = ten_thousandths // 100
    whole = pc.cast(pa.array(cents // 100), pa.string())
    rest = pc.utf8_lpad(pc.cast(pa.array(cents % 100), pa.string()), width=2, padding="0")
    return join(whole, ".", rest)


def choose(rng: np.random.Generator, weights: Sequence[float], n: int) -> Ints:
    """n draws of an index with the given weights."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.searchsorted(edges / edges[-1], rng.random(n), side="right").clip(0, len(edges) - 1)


def choose_rows(rng: np.random.Generator, cdf: Floats, rows: Ints) -> Ints:
    """For each entry of `rows`, a column drawn by that row's cumulative distribution (rows x columns)."""
    return (rng.random(len(rows))[:, None] > cdf[rows]).sum(axis=1).clip(0, cdf.shape[1] - 1)


def row_cdf(weights: Floats) -> Floats:
    """Cumulative distribution of each row of non-negative weights."""
    cdf = np.cumsum(weights, axis=1)
    return cdf / cdf[:, -1:]


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """(parent index, position within parent) of the flat children when parent i has counts[i] of them."""
    parent = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return parent, np.arange(len(parent)) - first[parent]


def running(values: Ints, counts: Ints) -> Ints:
    """Cumulative sum that begins anew in each consecutive group of the given sizes."""
    if not len(values):
        return values
    total = np.cumsum(values)
    filled = counts[counts > 0]
    first = np.cumsum(filled) - filled
    return total - np.repeat(total[first] - values[first], filled)


def seconds(rng: np.random.Generator, median: float, sigma: float, n: int) -> Ints:
    """n log-normal durations in microseconds, with the median in seconds."""
    return (median * SECOND * np.exp(sigma * rng.standard_normal(n))).astype(np.int64)
