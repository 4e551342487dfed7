"""Do the models of a sync have the columns that it needs, of types that it can read, and a value where it needs one?

Asked before anything is compared: a model is somebody's SQL, and what is wrong with it has to be told by a plan, in
words, not by whatever stumbles over it first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from warehouse.errors import ConfigError, DataError


class Kind(NamedTuple):
    """What a column has to be."""

    types: re.Pattern[str]
    """Of the names of its types, from their beginning."""
    words: str


TEXT = Kind(re.compile(r"VARCHAR$"), "text")
INSTANT = Kind(re.compile(r"TIMESTAMP(_(S|MS|NS))?$"), "a timestamp without a zone")
FLAG = Kind(re.compile(r"BOOLEAN$"), "true or false")
NUMBER = Kind(re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL\(.*\)|FLOAT|DOUBLE|BOOLEAN)$"), "numbers")
VALUE = Kind(re.compile(r"(?!.*\]$|STRUCT|MAP|BLOB|INTERVAL)"), "one value: no list, structure, interval or bytes")
ANYTHING = Kind(re.compile(""), "anything")


def check_columns(
    con: duckdb.DuckDBPyConnection, schema: str, model: str, needed: Mapping[str, Kind], sync: str
) -> dict[str, str]:
    """The types of the model's columns.

    Raises:
        DataError: the model is not there.
        ConfigError: it lacks a column that is needed, or has one of another type.
    """
    found = dict(
        con.execute(
            "select column_name, data_type from information_schema.columns where table_schema = ? and table_name = ?",
            [schema, model],
        ).fetchall()
    )
    if not found:
        raise DataError(
            f"The model '{model}' is not in schema '{schema}'.", todo="run `mailwright build`, then this again"
        )
    missing = sorted(needed.keys() - found.keys())
    if missing:
        raise ConfigError(
            f"The sync '{sync}' needs columns that its model does not have: {', '.join(missing)}.",
            where=f"{schema}.{model}",
            todo="correct `column` in the sync's `fields`, or add the columns to the model",
        )
    wrong = [f"{name} has to be {kind.words}, and is {found[name]}" for name, kind in sorted(needed.items())
             if not kind.types.match(found[name])]  # fmt: skip
    if wrong:
        raise ConfigError(
            f"The sync '{sync}' cannot read its model: {'; '.join(wrong)}.",
            where=f"{schema}.{model}",
            todo="cast the column in the model",
        )
    return found


def check_values(con: duckdb.DuckDBPyConnection, schema: str, model: str, wrong: Mapping[str, str]) -> None:
    """`wrong`: column → SQL that is true of a row whose value nothing can be done with.

    Raises:
        DataError: there are such rows.
    """
    counts = con.execute(
        f'select {", ".join(f"count(*) filter (where {sql})" for sql in wrong.values())} from "{schema}"."{model}"'
    ).fetchall()[0]
    for column, n in zip(wrong, counts, strict=True):
        if n:
            raise DataError(
                f"{n} rows of the model have no {column} that can be used.",
                where=f"{schema}.{model}.{column}",
                todo="correct the model; its `not_null` tests name the rows",
            )
