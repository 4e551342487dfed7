"""The column types of raw tables, and the SQL that turns what a file holds into them.

A contract speaks in portable names (`text`, `bigint`, `numeric(18,4)`, `double precision`, `timestamp`, `date`,
`boolean`). A cast never changes a value in silence: text `1.5` is not a bigint (DuckDB would round it to 2), and
`2024-01-01 02:00+02:00` is midnight UTC (DuckDB's cast to timestamp would drop the offset).
Numerics are rounded to their declared scale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["text", "integer", "decimal", "double", "timestamp", "date", "boolean", "nested", "other"]

_ALIASES = {
    "varchar": "text", "string": "text", "text": "text", "char": "text", "uuid": "text", "enum": "text",
    "bigint": "bigint", "integer": "bigint", "int": "bigint", "int8": "bigint", "smallint": "bigint",
    "double": "double precision", "double precision": "double precision", "float": "double precision",
    "float8": "double precision", "real": "double precision",
    "timestamp": "timestamp", "datetime": "timestamp", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp", "timestamptz": "timestamp",
    "date": "date", "boolean": "boolean", "bool": "boolean", "json": "text",
}  # fmt: skip

SAID = {
    "text": "text",
    "integer": "a whole number",
    "decimal": "a decimal number",
    "double": "a finite number",
    "timestamp": "a timestamp",
    "date": "a date",
    "boolean": "a boolean",
}
"""How a message names what a value should have been."""


def canonical(data_type: str) -> str:
    """The portable name of a declared type.

    Raises:
        ValueError: not a type that raw tables know.
    """
    plain = " ".join(data_type.strip().lower().split())
    numeric = re.fullmatch(r"(?:numeric|decimal)(?:\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", plain)
    if numeric:
        return f"numeric({numeric[1] or 18},{numeric[2] or (0 if numeric[1] else 3)})"
    plain = re.sub(r"\(\d+\)$", "", plain)
    if plain not in _ALIASES:
        raise ValueError(f"'{data_type}' is not a type of raw tables")
    return _ALIASES[plain]


def family(data_type: str) -> Family:
    """The family of a portable or of a DuckDB type."""
    name = data_type.strip().lower()
    if name.endswith("]") or name.startswith(("struct", "map", "list", "union", "variant", "json")):
        return "nested"
    if name.startswith(("text", "varchar", "char", "string", "enum", "uuid")):
        return "text"
    if name.startswith("timestamp"):
        return "timestamp"
    if name.startswith(("decimal", "numeric")):
        return "decimal"
    if re.fullmatch(r"u?(tiny|small|big|huge)?int(eger)?|int\d*", name):
        return "integer"
    if name in {"double", "double precision", "float", "real"}:
        return "double"
    if name in {"date", "boolean"}:
        return name  # pyright: ignore[reportReturnType]
    return "other"


def portable(duckdb_type: str) -> str:
    """The portable type in which a column of this DuckDB type is kept when nothing was declared."""
    kind = family(duckdb_type)
    if kind == "decimal":
        return canonical(duckdb_type)
    if kind == "integer":
        return "numeric(38,0)" if "huge" in duckdb_type.lower() or duckdb_type.lower() == "ubigint" else "bigint"
    return {"double": "double precision", "timestamp": "timestamp", "date": "date", "boolean": "boolean"}.get(
        kind, "text"
    )


LOSSLESS: frozenset[tuple[Family, Family]] = frozenset(
    {
        ("integer", "text"), ("nested", "text"),
        ("integer", "decimal"), ("integer", "double"),
        ("decimal", "integer"), ("decimal", "double"),
        ("double", "integer"), ("double", "decimal"),
        ("date", "timestamp"),
    }
)  # fmt: skip
"""(file's family, contract's family) that are no drift: each value is kept as it is or, row by row, quarantined.

Not here: double → text (customer 12345 would become '12345.0'), numbers → timestamp (seconds or milliseconds?).
"""


def is_retyped(file_type: str, contract_type: str) -> bool:
    """Whether a typed file's column is of another kind than its contract says."""
    found, wanted = family(file_type), family(contract_type)
    return found != wanted and (found, wanted) not in LOSSLESS


@dataclass(frozen=True)
class TextFormat:
    """How values are written in a text file."""

    timestamp_format: str | None = None
    decimal_comma: bool = False


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text_cast(column: str, data_type: str, fmt: TextFormat) -> str:
    """SQL: text column → value of `data_type`, null where it cannot be read."""
    kind = family(data_type)
    if kind == "text":
        return column
    value = f"nullif(trim({column}), '')"
    if kind == "integer":
        return f"case when regexp_full_match({value}, '[+-]?[0-9]+([.]0*)?') then try_cast({value} as bigint) end"
    if fmt.decimal_comma and kind in {"decimal", "double"}:
        value = f"replace(replace({value}, '.', ''), ',', '.')"
    if kind == "decimal":
        return f"try_cast({value} as {data_type})"
    if kind == "double":
        return f"case when isfinite(try_cast({value} as double)) then try_cast({value} as double) end"
    if kind == "timestamp":
        if fmt.timestamp_format:
            parsed = f"try_strptime({value}, {_literal(fmt.timestamp_format)})"
        else:
            parsed = f"try_cast({value} as timestamptz)"
        # the session's time zone is UTC: an instant without offset is UTC, one with offset is converted
        return f"case when isfinite({parsed}) then cast({parsed} as timestamp) end"
    if kind == "date":
        return f"case when isfinite(try_cast({value} as date)) then try_cast({value} as date) end"
    return f"try_cast({value} as {data_type})"


def typed_cast(column: str, file_type: str, data_type: str, fmt: TextFormat) -> str:
    """SQL: column of a typed file → value of `data_type`, null where it cannot be kept."""
    found, wanted = family(file_type), family(data_type)
    if found == "text":
        return text_cast(f"cast({column} as varchar)", data_type, fmt)
    if wanted == "text":
        return f"cast(to_json({column}) as varchar)" if found == "nested" else f"cast({column} as varchar)"
    if wanted == "integer" and found in {"double", "decimal"}:
        return f"case when {column} = trunc({column}) then try_cast({column} as bigint) end"
    if wanted in {"timestamp", "date"} and found in {"timestamp", "date"}:
        return f"case when isfinite({column}) then try_cast({column} as {data_type}) end"
    if wanted == "double" and found == "double":
        return f"case when isfinite({column}) then cast({column} as double) end"
    return f"try_cast({column} as {data_type})"


def present(column: str, file_type: str, data_type: str) -> str:
    """SQL: whether there is a value at all. Blank text is no number; NaN is how some tools write null."""
    found, wanted = family(file_type), family(data_type)
    if found == "text" and wanted != "text":
        return f"nullif(trim({column}), '') is not null"
    if found == "double":
        return f"({column} is not null and not isnan({column}))"
    return f"{column} is not null"


def needs_check(file_type: str, data_type: str) -> bool:
    """Whether a cast from this type of file can fail for a single row."""
    found, wanted = family(file_type), family(data_type)
    if wanted == "text":
        return False
    return not (found == wanted and found in {"boolean"}) and not (
        found == wanted == "integer" and file_type.lower() in {"bigint", "integer", "smallint", "tinyint"}
    )
