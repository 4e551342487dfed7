"""Parquet: read in place, twice at most; nothing is staged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from ingest.manifest import FileToLoad
from ingest.readers.base import Opened, Reject, clip, plain_name, sql_text
from ingest.types import quoted
from warehouse.errors import DataError

_ROW = "file_row_number"


class _Parquet(Opened):
    is_typed = True

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path) -> None:
        source = f"read_parquet({sql_text(str(path))}, hive_partitioning = false, file_row_number = true)"
        rows = con.execute(f"describe select * from {source}").fetchall()
        self.columns = {row[0]: row[1] for row in rows if row[0] != _ROW}
        self.expressions = {name: quoted(name) for name in self.columns}
        self.relation = f"(select *, {_ROW} + 1 as _row_number from {source})"
        if "_row_number" in self.columns:  # a file that was exported from a raw table
            self.relation = f"(select * exclude (_row_number), {_ROW} + 1 as _row_number from {source})"

    def locate(self, con: duckdb.DuckDBPyConnection, bad: Mapping[int, str]) -> list[Reject]:
        fields = ", ".join(f"{sql_text(name)}: {quoted(name)}" for name in self.columns)
        rows = con.execute(
            f"select _row_number, cast(to_json({{{fields}}}) as varchar) from {self.relation} "
            "where _row_number in (select unnest(?)) order by _row_number",
            [list(bad)],
        ).fetchall()
        return [Reject(number, bad[number], clip(text)) for number, text in rows]


@contextlib.contextmanager
def open_parquet(con: duckdb.DuckDBPyConnection, file: FileToLoad, scratch: Path) -> Iterator[Opened]:
    """Open a Parquet file.

    Raises:
        DataError: it is cut off or no Parquet at all.
    """
    with plain_name(file.path, scratch) as path:
        try:
            opened = _Parquet(con, path)
        except (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException) as error:
            raise unreadable(file.path, error) from None
        yield opened


def unreadable(path: Path, error: duckdb.Error) -> DataError:
    """The error for a Parquet file that is damaged."""
    with path.open("rb") as handle:
        starts_right = handle.read(4) in {b"PAR1", b"PARE"}
    what = (
        "The Parquet file is cut off or damaged: it begins as one, but cannot be read to its end."
        if starts_right
        else "This is not a Parquet file, whatever its name says."
    )
    detail = str(error).splitlines()[0].replace(str(path), path.name)
    return DataError(f"{what} ({detail})", where=str(path), todo="export or copy it again, then run this again")
