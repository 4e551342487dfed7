"""Reads the numbers of the report, once, for the screen and for the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb

from cli.report.queries import QUERIES
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings

Row = dict[str, Any]


@dataclass(frozen=True)
class ReportData:
    """Rows of every query of `cli.report.queries`, by its name."""

    tables: dict[str, list[Row]]

    def rows(self, name: str) -> list[Row]:
        return self.tables[name]

    def one(self, name: str) -> Row:
        """The single row of `name`; empty if there is none."""
        rows = self.tables[name]
        return rows[0] if rows else {}

    def provenance(self, tables: Iterable[str]) -> str:
        """'real', 'simulated', 'unknown' or 'mixed': where the rows of these raw tables come from."""
        wanted = set(tables)
        found = {row["provenance"] for row in self.rows("sources") if row["table_name"] in wanted}
        return found.pop() if len(found) == 1 else ("mixed" if found else "unknown")


def read_report_data(settings: Settings) -> ReportData:
    """All numbers, from one read-only connection.

    Raises:
        DataError: a mart is missing: the graph was not built to its end.
    """
    tables: dict[str, list[Row]] = {}
    with connect(settings, read_only=True, purpose="report") as con:
        for name, sql in QUERIES.items():
            try:
                tables[name] = fetch(con, sql.format(schema=settings.schema, ml=settings.ml_schema))
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                raise DataError(
                    f"The report cannot read '{name}': {str(error).splitlines()[0]}",
                    where=f"schema {settings.schema}",
                    todo="run `mailwright build --train`, which builds every mart",
                ) from None
    for row in tables["models"]:
        row["metrics"] = json.loads(row["metrics"])
    return ReportData(tables)


def fetch(con: duckdb.DuckDBPyConnection, sql: str, values: Iterable[Any] = ()) -> list[Row]:
    """All rows as dictionaries."""
    cursor = con.execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
