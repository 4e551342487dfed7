"""The contract of a table that nobody declared, from its first file."""

from __future__ import annotations

import duckdb

from ingest.contracts import AUDIT_COLUMNS, Column, TableContract
from ingest.readers import Opened
from ingest.types import TextFormat, portable, present, text_cast

_CANDIDATES = ("bigint", "double precision", "timestamp", "boolean")


def infer(con: duckdb.DuckDBPyConnection, table: str, opened: Opened, fmt: TextFormat) -> TableContract:
    """Types of a typed file as they are; of a text file the narrowest type that all of its values have.

    A column is text if any value begins with a zero or plus that a number would lose ('00123' is an id, '+44…' a
    telephone), and if it is empty.
    """
    types = {name: portable(kind) for name, kind in opened.columns.items()}
    if not opened.is_typed:
        types = _from_values(con, opened, fmt)
    columns = tuple(
        Column(name.lower(), data_type, identifier=name.lower() if name.lower() in {"email", "phone"} else None)
        for name, data_type in types.items()
        if name.lower() not in AUDIT_COLUMNS
    )
    return TableContract(table, columns, is_declared=False)


def _from_values(con: duckdb.DuckDBPyConnection, opened: Opened, fmt: TextFormat) -> dict[str, str]:
    picks: list[str] = []
    for expression in opened.expressions.values():
        value = present(expression, "varchar", "bigint")
        picks.append(f"count(*) filter (where {value})")
        picks.append(f"count(*) filter (where regexp_matches(trim({expression}), '^([+]|-?0[0-9])'))")
        for candidate in _CANDIDATES:
            cast = text_cast(expression, candidate, fmt)
            if candidate == "boolean":
                cast = f"case when lower(trim({expression})) in ('true', 'false') then true end"
            picks.append(f"count({cast})")
    if not picks:
        return {}
    counts = con.execute(f"select {', '.join(picks)} from {opened.relation}").fetchall()[0]
    width = 2 + len(_CANDIDATES)
    types: dict[str, str] = {}
    for index, name in enumerate(opened.columns):
        filled, padded, *fits = counts[index * width : (index + 1) * width]
        fitting = [kind for kind, n in zip(_CANDIDATES, fits, strict=True) if n == filled]
        if padded:
            fitting = [kind for kind in fitting if kind == "timestamp"]
        types[name] = fitting[0] if filled and fitting else "text"
    return types
