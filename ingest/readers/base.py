"""What all readers share."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

MAX_RAW_TEXT = 20_000
"""Characters of a bad row that quarantine keeps."""


@dataclass(frozen=True)
class Reject:
    """A row of the file that cannot be loaded."""

    line_number: int | None
    """Line of a text file (1 = the header of a CSV), row of a Parquet file; None where it cannot be told."""
    reason: str
    """Without the value: reasons are shown, values may be personal."""
    raw_text: str | None
    n_lines: int = 1
    """Lines that it takes with it: an unclosed quote swallows what follows."""


class Opened(ABC):
    """A file staged for SQL."""

    is_typed: bool = False
    """The file itself states column types."""
    is_fixed: bool = True
    """Each row has each column."""

    relation: str
    """SQL relation; its rows have `_row_number`."""
    columns: dict[str, str]
    """Column of the file → DuckDB type."""
    expressions: dict[str, str]
    """Column of the file → SQL expression over `relation`."""
    unreadable: tuple[Reject, ...] = ()
    """Rows that never reached the relation."""

    def forgive_empty(self, con: duckdb.DuckDBPyConnection, wanted: Mapping[str, str]) -> None:
        """A typed column without any value takes the wanted type: tools write some type for it, pandas the integer's.

        Args:
            con: the connection.
            wanted: column of the file → type of its table.
        """
        if not wanted:
            return
        counts = con.execute(
            f"select {', '.join(f'count({self.expressions[name]})' for name in wanted)} from {self.relation}"
        ).fetchall()[0]
        for (name, data_type), filled in zip(wanted.items(), counts, strict=True):
            if filled == 0:
                self.columns[name] = data_type
                self.expressions[name] = f"cast(null as {data_type})"

    @abstractmethod
    def locate(self, con: duckdb.DuckDBPyConnection, bad: Mapping[int, str]) -> list[Reject]:
        """The rejects for rows of the relation that cannot be cast: `_row_number` → reason."""


def clip(text: str | None) -> str | None:
    """A bad row's text as quarantine keeps it."""
    return text if text is None or len(text) <= MAX_RAW_TEXT else text[:MAX_RAW_TEXT] + " …"


def sql_text(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def plain_name(path: Path, scratch: Path) -> Iterator[Path]:
    """The file under a name without characters that DuckDB takes for a pattern."""
    if not set(str(path)) & set("*?[]{}"):
        yield path
        return
    scratch.mkdir(parents=True, exist_ok=True)
    link = scratch / f"link_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)
