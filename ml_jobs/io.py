"""Arrow batches out of the warehouse and predictions back into it.

Reads are single statements on a connection that is closed before any model work; writes are one transaction each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

from ml_jobs.errors import FeatureTableError
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH_ROWS = 100_000


def columns_of(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> dict[str, str]:
    """Column name → engine type of a table or view.

    Raises:
        FeatureTableError: the relation does not exist.
    """
    rows = con.execute(
        "select column_name, data_type from information_schema.columns where table_schema = ? and table_name = ?",
        [schema, table],
    ).fetchall()
    if not rows:
        raise FeatureTableError(
            f"The relation '{table}' does not exist.", where=f"schema {schema}", todo="run `mailwright build` first"
        )
    return dict(rows)


def require_columns(con: duckdb.DuckDBPyConnection, schema: str, needed: dict[str, Sequence[str]]) -> None:
    """Check all needed columns of all relations at once.

    Raises:
        FeatureTableError: one message that names every missing column.
    """
    missing = [
        f"{table}.{column}"
        for table, names in needed.items()
        for column in sorted(set(names) - set(columns_of(con, schema, table)))
    ]
    if missing:
        raise FeatureTableError(
            f"Columns are missing: {', '.join(missing)}.",
            where=f"schema {schema}",
            todo="build the models of this version, or take the columns out of the job's config",
        )


def read_table(
    con: duckdb.DuckDBPyConnection, sql: str, params: Sequence[object] = (), *, encode: Iterable[str] = ()
) -> pa.Table:
    """Read a statement in batches of `BATCH_ROWS`; columns in `encode` are kept as int32 dictionary codes.

    Keys are 32-character hashes: a million of them as text is 35 MB a column, as codes 4 MB.
    """
    import pyarrow as pa

    names = set(encode)
    reader = con.execute(sql, list(params)).to_arrow_reader(BATCH_ROWS)
    pieces: list[pa.Table] = []
    for batch in reader:
        columns = [
            column.dictionary_encode() if name in names else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        pieces.append(pa.table(dict(zip(batch.schema.names, columns, strict=True))))
    if not pieces:
        empty = reader.schema.empty_table()
        columns = [
            c.dictionary_encode() if n in names else c for n, c in zip(empty.column_names, empty.columns, strict=True)
        ]
        return pa.table(dict(zip(empty.column_names, columns, strict=True)))
    return pa.concat_tables(pieces).unify_dictionaries()


def codes_of(table: pa.Table, name: str, keys: np.ndarray) -> np.ndarray:
    """Positions of an encoded column's values in sorted `keys`; −1 where absent. Shape (rows,), int64."""
    import numpy as np
    import pyarrow as pa

    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no rows
        return np.empty(0, dtype=np.int64)
    values = np.asarray(column.dictionary.to_pylist(), dtype=object)
    if not len(values) or not len(keys):
        return np.full(len(column), -1, dtype=np.int64)
    at = np.searchsorted(keys, values).clip(max=len(keys) - 1)
    position = np.where(keys[at] == values, at, -1).astype(np.int64)
    return position[column.indices.to_numpy(zero_copy_only=False)]


def distinct_values(table: pa.Table, name: str) -> list[str]:
    """Distinct values of an encoded column."""
    column = table.column(name)
    return column.chunk(0).dictionary.to_pylist() if column.num_chunks else []


def to_micros(instant: datetime) -> int:
    """A naive UTC instant as microseconds since 1970."""
    return (instant - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The naive UTC instant of microseconds since 1970."""
    return datetime(1970, 1, 1) + timedelta(microseconds=int(micros))


def micros(table: pa.Table, name: str, *, missing: int) -> np.ndarray:
    """A timestamp column as microseconds since 1970 (UTC), `missing` for null. Shape (rows,), int64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.cast(pc.cast(table.column(name), pa.timestamp("us")), pa.int64())
    return pc.fill_null(column, missing).to_numpy()


def replace_predictions(settings: Settings, table: str, rows: pa.Table, *, purpose: str) -> None:
    """Replace everything in `<ml_schema>.<table>` by `rows` in one transaction: readers see the old or the new."""
    with connect(settings, purpose=purpose) as con:
        con.register("new_predictions", rows)
        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        with transaction(con):
            con.execute(f'delete from "{settings.ml_schema}"."{table}"')
            con.execute(
                f'insert into "{settings.ml_schema}"."{table}" ({columns}) select {columns} from new_predictions'
            )
        con.unregister("new_predictions")


def clear_predictions(settings: Settings, table: str) -> None:
    """Empty `<ml_schema>.<table>`: predictions of another day must not pass for today's."""
    with connect(settings, purpose=f"clear {table}") as con:
        con.execute(f'delete from "{settings.ml_schema}"."{table}"')


class transaction:  # reads as a keyword: `with transaction(con):`
    """Commit at the end of the block, roll back on any exception."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def __enter__(self) -> None:
        self._con.execute("begin transaction")

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._con.execute("rollback" if kind else "commit")
