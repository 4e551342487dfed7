"""One reader per format. Each stages a file for SQL and can say where in the file a row stands.

`open_file` yields an `Opened`: a relation whose rows carry `_row_number` and one SQL expression per column of the
file. Nothing is written to the warehouse here: text is staged in temporary tables of the connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from ingest.contracts import TableContract
from ingest.files import format_of
from ingest.manifest import FileToLoad
from ingest.readers.base import Opened, Reject

__all__ = ["Opened", "Reject", "open_file"]


@contextlib.contextmanager
def open_file(
    con: duckdb.DuckDBPyConnection, file: FileToLoad, contract: TableContract | None, scratch: Path
) -> Iterator[Opened]:
    """Open a file by its format.

    Raises:
        DataError: it cannot be read as what it says it is.
    """
    match format_of(file.path, file.format.type):
        case "parquet":
            from ingest.readers.parquet import open_parquet

            with open_parquet(con, file, scratch) as opened:
                yield opened
        case "csv":
            from ingest.readers.delimited import open_csv

            with open_csv(con, file, contract, scratch) as opened:
                yield opened
        case "jsonl":
            from ingest.readers.jsonl import open_jsonl

            with open_jsonl(con, file, scratch) as opened:
                yield opened
