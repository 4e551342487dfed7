"""JSON lines: one object per line.

Lines come as Arrow batches, because only so is the line number true for each of them; DuckDB parses the JSON.
A key that a line lacks is null. Objects and arrays become their JSON text. A key given twice counts once: the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.files import as_utf8
from ingest.manifest import FileToLoad
from ingest.readers.base import Opened, Reject, clip, sql_text
from ingest.types import quoted
from warehouse.errors import DataError

_SCHEMA = pa.schema([("_row_number", pa.int64()), ("line", pa.binary())])
_BATCH = 20_000
_LINES, _STAGED = "_ingest_lines", "_ingest_json"


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that hold anything, with their numbers."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            content = content.strip(b" \t\r\n")
            if content:
                yield number, content


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    numbers: list[int] = []
    lines: list[bytes] = []
    for number, line in _numbered(path):
        numbers.append(number)
        lines.append(line)
        if len(lines) == _BATCH:
            yield pa.record_batch([pa.array(numbers, pa.int64()), pa.array(lines, pa.binary())], schema=_SCHEMA)
            numbers, lines = [], []
    if lines:
        yield pa.record_batch([pa.array(numbers, pa.int64()), pa.array(lines, pa.binary())], schema=_SCHEMA)


class _JsonLines(Opened):
    is_fixed = False

    def __init__(self, con: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._path = path
        reader = pa.RecordBatchReader.from_batches(_SCHEMA, _batches(path))
        con.register("_ingest_reader", reader)
        try:
            con.execute(
                f"create or replace temp table {_LINES} as "
                "select _row_number, line, json_valid(line) as is_valid from "
                "(select _row_number, try(decode(line)) as line from _ingest_reader)"
            )
        finally:
            con.unregister("_ingest_reader")
        objects = f"(select * from {_LINES} where is_valid and json_type(line) = 'OBJECT')"
        keys = con.execute(f"select distinct unnest(json_keys(line)) as key from {objects} order by key").fetchall()
        names = [row[0] for row in keys]
        self.columns = dict.fromkeys(names, "VARCHAR")
        self.expressions = {name: quoted(f"c{index}") for index, name in enumerate(names)}
        paths = ", ".join(sql_text('$."' + name.replace('"', '\\"') + '"') for name in names)
        picked = "".join(f", x[{index + 1}] as c{index}" for index in range(len(names)))
        values = f", json_extract_string(line, [{paths}]) as x" if names else ""
        con.execute(
            f"create or replace temp table {_STAGED} as select _row_number{picked} from "
            f"(select _row_number{values} from {objects}) order by _row_number"
        )
        self.relation = _STAGED
        self.unreadable = tuple(
            Reject(number, reason, clip(text))
            for number, reason, text in con.execute(
                "select _row_number, case when line is null then 'not UTF-8 text' "
                "when not is_valid then 'not valid JSON' else 'not a JSON object' end, line "
                f"from {_LINES} where line is null or not is_valid or json_type(line) <> 'OBJECT' "
                "order by _row_number"
            ).fetchall()
        )

    def locate(self, con: duckdb.DuckDBPyConnection, bad: Mapping[int, str]) -> list[Reject]:
        rows = con.execute(
            f"select _row_number, line from {_LINES} where _row_number in (select unnest(?)) order by 1",
            [list(bad)],
        ).fetchall()
        return [Reject(number, bad[number], clip(line)) for number, line in rows]


@contextlib.contextmanager
def open_jsonl(con: duckdb.DuckDBPyConnection, file: FileToLoad, scratch: Path) -> Iterator[Opened]:
    """Stage a file of JSON lines.

    Raises:
        DataError: it holds no line, or its gzip or encoding is broken.
    """
    with as_utf8(file.path, scratch, encoding=file.format.encoding) as path:
        try:
            opened = _JsonLines(con, path)
            if not opened.columns and not opened.unreadable:
                raise DataError("The file holds no JSON object.", where=str(file.path), todo="export it again")
            yield opened
        finally:
            for table in (_STAGED, _LINES):
                with contextlib.suppress(duckdb.Error):
                    con.execute(f"drop table if exists {table}")
