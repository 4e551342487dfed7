"""The tables of the last build, and what is said where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb

from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings


@contextlib.contextmanager
def built_tables(settings: Settings, purpose: str, *, read_only: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose unqualified names are the tables of the last build.

    Raises:
        DataError: there is no build of what the block reads.
    """
    with connect(settings, read_only=read_only, purpose=purpose) as con:
        try:
            con.execute(f'use "{settings.schema}"')
            yield con
        except duckdb.CatalogException as error:
            raise DataError(
                f"Schema '{settings.schema}' is not built, or not with this.",
                where=str(settings.warehouse_path),
                todo="run `mailwright build`",
            ) from error
