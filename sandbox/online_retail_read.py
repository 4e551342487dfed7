"""Reading a file in the columns of UCI Online Retail: Parquet, CSV or XLSX, exactly as it stands.

Source: Chen, Sain, Guo (2012), doi:10.1057/dbm.2012.17; the published workbook and its CSV exports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sandbox.arrays import Ints, pc
from warehouse.errors import DataError

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_ALIASES = {"invoice": "InvoiceNo", "price": "UnitPrice"}
"""Names in the second edition of the data set (Online Retail II)."""
_NULLABLE = {"Description", "CustomerID"}
_DATE_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M",  # the published CSV exports: month first
    "%d/%m/%Y %H:%M",
    "%m/%d/%y %H:%M",
    "%d-%m-%Y %H:%M",
    "%Y-%m-%d",
)


@dataclass(frozen=True)
class OrderRows:
    """Rows in file order; nothing dropped or changed."""

    invoice: pa.Array
    stock_code: pa.Array
    description: pa.Array
    quantity: Ints
    at: Ints
    """InvoiceDate as microseconds since 1970: the shop's clock, taken as UTC."""
    price: Ints
    """UnitPrice in 1/10,000."""
    customer: Ints
    """CustomerID, -1 where there is none."""
    country: pa.Array

    def __len__(self) -> int:
        return len(self.quantity)


def read_orders(path: Path) -> OrderRows:
    """Read the file.

    Raises:
        DataError: no such file, an unknown format, truncated or empty, a column missing or of the wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("There is no such file of orders.", where=str(path), todo="check the path")
    if path.stat().st_size == 0:
        raise DataError("The file of orders is empty.", where=str(path), todo="name a file with rows")
    kind = path.suffix.lower()
    readers = {".parquet": _read_parquet, ".csv": _read_csv, ".xlsx": _read_xlsx}
    if kind not in readers:
        raise DataError(
            f"'{kind or path.name}' is not a format of orders.",
            where=str(path),
            todo="name a .parquet, .csv or .xlsx file in the columns of UCI Online Retail",
        )
    table = _named(path, readers[kind](path))
    if not table.num_rows:
        raise DataError("The file of orders has no rows.", where=str(path), todo="name a file with rows")
    columns = {name: _plain(table[name]) for name in COLUMNS}
    for name, column in columns.items():
        if name not in _NULLABLE and column.null_count:
            row = int(np.flatnonzero(np.asarray(column.is_null()))[0]) + 1
            raise DataError(
                f"Column {name} has {column.null_count} empty values, the first in row {row}.",
                where=str(path),
                todo="complete these rows or take them out",
            )
    price = _numbers(path, "UnitPrice", columns["UnitPrice"])
    scaled = np.round(price * 10_000)
    wrong = np.flatnonzero(np.abs(price * 10_000 - scaled) > 1e-3)
    if len(wrong):
        raise _wrong_value(path, "UnitPrice", int(wrong[0]), price[wrong[0]], "prices have at most four decimals")
    return OrderRows(
        invoice=_text(columns["InvoiceNo"]),
        stock_code=_text(columns["StockCode"]),
        description=_text(columns["Description"]),
        quantity=_whole(path, "Quantity", columns["Quantity"]),
        at=_dates(path, columns["InvoiceDate"]),
        price=scaled.astype(np.int64),
        customer=_whole(path, "CustomerID", columns["CustomerID"].fill_null(_minus_one(columns["CustomerID"]))),
        country=_text(columns["Country"]),
    )


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from None


def _read_csv(path: Path) -> pa.Table:
    """All columns as text; UTF-8 first, latin-1 (the published file's pound signs) where that fails."""
    problem: Exception | None = None
    for encoding in ("utf-8", "latin-1"):
        try:
            with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding) as file:
                header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = [name.strip().strip('"') for name in header.strip().split(delimiter)]
            return pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(encoding=encoding, column_names=names, skip_rows=1),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            problem = error
            if isinstance(error, pa.ArrowInvalid) and "utf8" not in str(error).lower().replace("-", ""):
                break
    assert problem is not None
    raise _unreadable(path, "CSV", problem)


def _read_xlsx(path: Path) -> pa.Table:
    """First sheet. Excel knows no integers, so codes may come as numbers: they are written without a decimal point."""
    import pandas as pd

    try:
        frame = pd.read_excel(path, engine="calamine", dtype=object)
    except Exception as error:  # the reader raises its own, zip's and XML's errors
        raise _unreadable(path, "XLSX", error) from None
    arrays, names = [], []
    for name in frame.columns:
        values = [None if value is None or value != value else value for value in frame[name].tolist()]
        names.append(str(name))
        arrays.append(_cells(values))
    return pa.table(arrays, names=names)


def _cells(values: list[Any]) -> pa.Array:
    """Cells of one column: instants, numbers, or (where mixed) text."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, datetime) for value in present):
        return pa.array([None if v is None else v.replace(tzinfo=None) for v in values], pa.timestamp("us"))
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else _cell_text(value) for value in values], pa.string())


def _cell_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _named(path: Path, table: pa.Table) -> pa.Table:
    """The eight columns under their published names (case, blanks and underscores do not matter)."""
    wanted = {name.lower(): name for name in COLUMNS} | _ALIASES
    found = {}
    for position, name in enumerate(table.column_names):
        official = wanted.get(re.sub(r"[^a-z]", "", name.lower()))
        if official and official not in found:
            found[official] = table.column(position)
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise DataError(
            f"The file of orders lacks {'columns' if len(missing) > 1 else 'column'} {', '.join(missing)}; "
            f"it has {', '.join(table.column_names[:20])}.",
            where=str(path),
            todo=f"name the columns {', '.join(COLUMNS)}",
        )
    return pa.table({name: found[name] for name in COLUMNS})


def _plain(column: pa.ChunkedArray) -> pa.Array:
    combined = pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
    array = combined.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = pc.cast(column, pa.int64())
    return pc.cast(column, pa.string())


def _minus_one(column: pa.Array) -> Any:
    return "-1" if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else -1


def _numbers(path: Path, name: str, column: pa.Array) -> np.ndarray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        readable = np.asarray(pc.match_substring_regex(trimmed, r"^-?(\d+\.?\d*|\.\d+)([eE]-?\d+)?$"))
        if not readable.all():
            row = int(np.flatnonzero(~readable)[0])
            raise _wrong_value(path, name, row, column[row].as_py(), "a number is expected")
        return np.asarray(pc.cast(trimmed, pa.float64()))
    try:
        return np.asarray(pc.cast(column, pa.float64()))
    except pa.ArrowException:
        raise DataError(
            f"Column {name} is of type {column.type}, not a number.", where=str(path), todo="write numbers there"
        ) from None


def _whole(path: Path, name: str, column: pa.Array) -> Ints:
    values = _numbers(path, name, column)
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) > 2**53))
    if len(wrong):
        raise _wrong_value(path, name, int(wrong[0]), values[wrong[0]], "a whole number is expected")
    return values.astype(np.int64)


def _dates(path: Path, column: pa.Array) -> Ints:
    """Instants by the first format that reads the whole column."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return np.asarray(pc.cast(column, pa.timestamp("us"))).astype("datetime64[us]").astype(np.int64)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(
            f"Column InvoiceDate is of type {column.type}, not an instant.",
            where=str(path),
            todo="write instants there, like 2010-12-01 08:26:00",
        )
    distinct = column.dictionary_encode()
    texts = distinct.dictionary.to_pylist()
    best: tuple[int, str] = (-1, "")
    for date_format in _DATE_FORMATS:
        values, bad = [], None
        for text in texts:
            try:
                values.append(datetime.strptime(text.strip(), date_format))
            except ValueError:
                bad = text
                break
        if bad is None:
            instants = np.array(values, dtype="datetime64[us]").astype(np.int64)
            return instants[np.asarray(distinct.indices)]
        if len(values) > best[0]:
            best = (len(values), bad)
    row = int(np.flatnonzero(np.asarray(pc.equal(column, best[1])))[0])
    raise _wrong_value(
        path, "InvoiceDate", row, best[1], "dates are expected like 2010-12-01 08:26:00 or 12/1/2010 8:26"
    )


def _wrong_value(path: Path, name: str, row: int, value: Any, why: str) -> DataError:
    return DataError(
        f"Column {name} holds '{str(value)[:40]}' in row {row + 1}: {why}.", where=str(path), todo="correct that value"
    )


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return DataError(
        f"The file of orders cannot be read as {kind}: {reason}",
        where=str(path),
        todo="it may be truncated or of another format: fetch it again",
    )
