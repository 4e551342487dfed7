"""CSV and TSV: read by DuckDB as text, cast in SQL; the standard library's parser only says where a bad row stands.

DuckDB's reader is strict here: its lenient mode would turn `"a"b` into `a` in silence. Files of mixed line ends,
which the strict reader refuses, are read from a copy with plain ones.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from ingest.contracts import TableContract
from ingest.files import as_utf8
from ingest.manifest import FileToLoad, FormatOptions
from ingest.readers.base import Opened, Reject, clip, plain_name, sql_text
from ingest.types import quoted
from warehouse.errors import DataError

_STAGED, _REJECTS, _SCANS = "_ingest_csv", "_ingest_rejects", "_ingest_scans"
_DELIMITERS = (",", ";", "\t", "|")
_FIELD_LIMIT = 1 << 27
_REASONS = {
    "MISSING COLUMNS": "too few columns",
    "TOO MANY COLUMNS": "too many columns",
    "UNQUOTED VALUE": "a quote that is never closed, or text after a closing quote",
    "LINE SIZE OVER MAXIMUM": "a line of more than 2 MB (an unclosed quote?)",
    "INVALID ENCODING": "not UTF-8 text",
    "INVALID STATE": "quotes that do not follow the CSV rules",
}
_BROKEN = frozenset(_REASONS[kind] for kind in ("UNQUOTED VALUE", "LINE SIZE OVER MAXIMUM", "INVALID STATE"))


class _MixedLineEnds(Exception):
    """DuckDB's strict reader cannot go on."""


def _records(path: Path, delimiter: str, quote: str) -> Iterator[tuple[int, list[str]]]:
    """(line at which the record starts, fields) by the standard library."""
    csv.field_size_limit(_FIELD_LIMIT)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader = csv.reader(file, delimiter=delimiter, quotechar=quote or None, quoting=quoting)
        start = 1
        for record in reader:
            yield start, record
            start = reader.line_num + 1


def _header(path: Path, options: FormatOptions, known: frozenset[str], where: str) -> tuple[str, list[str], int]:
    """Delimiter, column names, and blank lines above them."""
    best: tuple[tuple[int, int, int], str, list[str], int] | None = None
    for rank, delimiter in enumerate((options.delimiter,) if options.delimiter else _DELIMITERS):
        for start, record in _records(path, delimiter, options.quote):
            if not record:
                continue
            names = [name.strip() or f"column_{index + 1}" for index, name in enumerate(record)]
            score = (sum(name.lower() in known for name in names), len(names), -rank)
            if best is None or score > best[0]:
                best = (score, delimiter, names, start - 1)
            break
    if best is None:
        raise DataError("The file holds nothing but blank lines.", where=where, todo="export it again, with its header")
    _, delimiter, names, blank = best
    folded = [name.lower() for name in names]
    twice = [name for name in names if folded.count(name.lower()) > 1]
    if twice:
        raise DataError(f"The header names column '{twice[0]}' more than once.", where=where, todo="rename one of them")
    return delimiter, names, blank


class _Csv(Opened):
    def __init__(
        self, con: duckdb.DuckDBPyConnection, path: Path, options: FormatOptions, known: frozenset[str], where: str
    ) -> None:
        self._path, self._options = path, options
        self._delimiter, names, blank = _header(path, options, known, where)
        self.columns = dict.fromkeys(names, "VARCHAR")
        self.expressions = {name: quoted(f"c{index}") for index, name in enumerate(names)}
        self.relation = _STAGED
        types = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(names)))
        nulls = ", ".join(sql_text(text) for text in options.null_values)
        quote = sql_text(options.quote)
        # not `parallel = false`: in DuckDB 1.5.5 that loses the reject of a quote left open at the file's end
        source = (
            f"read_csv({sql_text(str(path))}, auto_detect = false, header = true, skip = {blank}, "
            f"delim = {sql_text(self._delimiter)}, quote = {quote}, escape = {quote}, columns = {{{types}}}, "
            f"nullstr = [{nulls}], store_rejects = true, "
            f"rejects_table = '{_REJECTS}', rejects_scan = '{_SCANS}')"
        )
        try:
            con.execute(
                f"create or replace temp table {_STAGED} as select row_number() over () as _row_number, * from {source}"
            )
        except duckdb.InvalidInputException as error:
            if "state machine" in str(error):
                raise _MixedLineEnds from None
            raise
        self.unreadable = tuple(self._structural(con))
        self._assert_all_read(con, where)

    def _assert_all_read(self, con: duckdb.DuckDBPyConnection, where: str) -> None:
        """Nothing may be lost in silence: a second parser counts the records (about 1 s for a million rows).

        Where quotes are broken, the two parsers may rightly differ; those rows are in the rejects already.
        """
        if len(self.columns) < 2 or any(reject.reason in _BROKEN for reject in self.unreadable):
            return
        read = con.execute(f"select count(*) from {_STAGED}").fetchall()[0][0] + len(self.unreadable)
        records = sum(1 for _, record in _records(self._path, self._delimiter, self._options.quote) if record) - 1
        if read != records:
            raise DataError(
                f"The rows of this CSV cannot be told apart: {records:,} records, of which {read:,} were read.",
                where=where,
                todo="export it again with every text value quoted",
            )

    def _structural(self, con: duckdb.DuckDBPyConnection) -> Iterator[Reject]:
        rows = con.execute(
            "select line_byte_position, min_by(error_type, coalesce(column_idx, 0)), any_value(csv_line), "
            f"min_by(error_message, coalesce(column_idx, 0)) from {_REJECTS} group by 1 order by 1"
        ).fetchall()
        position = 0
        line = 1
        with self._path.open("rb") as file:
            for byte_position, kind, text, message in rows:
                raw = text or ""
                # DuckDB counts a skipped blank line to the row after it
                content = raw.lstrip("\r\n")
                target = byte_position + len(raw[: len(raw) - len(content)].encode())
                while position < target:
                    chunk = file.read(min(1 << 20, target - position))
                    if not chunk:
                        break
                    position += len(chunk)
                    line += chunk.count(b"\n")
                reason = _REASONS.get(str(kind)) or str(kind).lower()
                if kind.endswith("COLUMNS"):
                    reason += f" ({message.lower()})"
                yield Reject(line, reason, clip(content), n_lines=content.rstrip("\r\n").count("\n") + 1)

    def locate(self, con: duckdb.DuckDBPyConnection, bad: Mapping[int, str]) -> list[Reject]:
        picked = ", ".join(self.expressions.values())
        rows = con.execute(
            f"select _row_number, {picked} from {_STAGED} where _row_number in (select unnest(?)) order by 1",
            [list(bad)],
        ).fetchall()
        # equal rows are all bad, so that taking them in order finds each one's own line
        waiting: defaultdict[tuple[str, ...], deque[int]] = defaultdict(deque)
        for row in rows:
            waiting[self._key(row[1:])].append(row[0])
        found: dict[int, int] = {}
        for start, record in _records(self._path, self._delimiter, self._options.quote):
            if len(found) == len(rows):
                break
            queue = waiting.get(self._key(record))
            if queue:
                found[queue.popleft()] = start
        return [Reject(found.get(row[0]), bad[row[0]], clip(self._text(row[1:]))) for row in rows]

    def _key(self, record: Sequence[str | None]) -> tuple[str, ...]:
        nulls = self._options.null_values
        return tuple("" if value is None or value in nulls else value.strip() for value in record)

    def _text(self, values: Sequence[str | None]) -> str:
        buffer = io.StringIO()
        quote = self._options.quote or '"'
        csv.writer(buffer, delimiter=self._delimiter, quotechar=quote, lineterminator="").writerow(
            ["" if value is None else value for value in values]
        )
        return buffer.getvalue()


@contextlib.contextmanager
def open_csv(
    con: duckdb.DuckDBPyConnection, file: FileToLoad, contract: TableContract | None, scratch: Path
) -> Iterator[Opened]:
    """Stage a CSV file as text.

    Raises:
        DataError: no header, a column named twice, a broken gzip or encoding.
    """
    known = frozenset(name.lower() for name in contract.names) if contract else frozenset()
    where = str(file.path)
    try:
        for unix_lines in (False, True):
            with contextlib.ExitStack() as stack:
                path = stack.enter_context(
                    as_utf8(file.path, scratch, encoding=file.format.encoding, unix_lines=unix_lines)
                )
                path = stack.enter_context(plain_name(path, scratch))
                try:
                    opened = _Csv(con, path, file.format, known, where)
                except _MixedLineEnds:
                    if not unix_lines:
                        continue
                    raise DataError(
                        "The file does not follow the CSV rules (quotes and line ends).",
                        where=where,
                        todo="export it again with quoted values, or declare its `format` in a manifest",
                    ) from None
                yield opened
                return
    finally:
        for table in (_STAGED, _REJECTS, _SCANS):
            with contextlib.suppress(duckdb.Error):
                con.execute(f"drop table if exists {table}")
