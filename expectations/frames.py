"""From the warehouse to what Great Expectations may see.

Its reports are HTML files that people pass on, so nothing personal enters it: numbers, instants and booleans as they
are; text only as one of the values that a rule declares, else as a mark that something is there. Row keys leave the
warehouse hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from expectations.suite import Metric, Rule, Suite, literal, quoted

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 5
_HASH_LENGTH = 12
PRESENT, OTHER = "<text>", "<other text>"


@dataclass(frozen=True)
class Subject:
    """The rows at hand: those of a load, or all of a table of a build."""

    kind: str
    subject_id: str
    table: str
    relation: str
    """SQL of the table."""
    condition: str
    """SQL that picks the rows."""
    placeholders: Mapping[str, str]

    @property
    def rows(self) -> str:
        return f"(select * from {self.relation} where {self.condition})"

    def filled(self, sql: str) -> str:
        """A declared statement or predicate with its placeholders filled."""
        values = {"load": self.rows, "table": self.relation, **self.placeholders}
        for name, value in values.items():
            sql = sql.replace("{" + name + "}", value)
        return sql


@dataclass(frozen=True)
class Measured:
    """A metric as it came out."""

    value: float | None
    unexpected_count: int | None
    fault: str | None = None
    """Why it could not be computed."""


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column → DuckDB type; empty if there is no such table."""
    try:
        rows = con.execute(f"describe select * from {relation}").fetchall()
    except duckdb.CatalogException:
        return {}
    return {row[0]: row[1] for row in rows}


def rule_frame(
    con: duckdb.DuckDBPyConnection, subject: Subject, rules: Sequence[Rule], columns: Mapping[str, str]
) -> pd.DataFrame:
    """One row per row at hand, with the columns that rules look at."""
    picks: list[str] = []
    for name in dict.fromkeys(rule.column for rule in rules):
        column = quoted(name)
        if columns[name] != "VARCHAR":
            picks.append(f"cast({column} as double) as {column}" if _is_decimal(columns[name]) else column)
            continue
        values = {value for rule in rules if rule.column == name for value in rule.values}
        if values:
            known = ", ".join(literal(value) for value in sorted(values))
            shown = f"case when {column} in ({known}) then {column} else {literal(OTHER)} end"
        else:
            shown = literal(PRESENT)
        picks.append(f"case when {column} is not null then {shown} end as {column}")
    table = con.execute(f"select {', '.join(picks) or '1 as row_mark'} from {subject.rows} as checked").to_arrow_table()
    # few distinct values: a dictionary is a hundredth of the memory of a million strings
    for index, field in enumerate(table.schema):
        if str(field.type) in {"string", "large_string"}:
            table = table.set_column(index, field.name, table.column(index).dictionary_encode())
    return table.to_pandas()


def _is_decimal(data_type: str) -> bool:
    return data_type.startswith(("DECIMAL", "HUGEINT"))


def measure(con: duckdb.DuckDBPyConnection, subject: Subject, metrics: Sequence[Metric]) -> dict[int, Measured]:
    """Index of the metric → value. All shares in one pass over the rows; a query of its own for each of the others."""
    results: dict[int, Measured] = {}
    shares = [(index, metric) for index, metric in enumerate(metrics) if metric.share]
    try:
        results |= _shares(con, subject, shares)
    except duckdb.Error:
        for pair in shares:  # one of them is wrong: the others still count
            try:
                results |= _shares(con, subject, [pair])
            except duckdb.Error as error:
                results[pair[0]] = Measured(None, None, _first_line(error))
    for index, metric in enumerate(metrics):
        if metric.query:
            try:
                value = con.execute(subject.filled(metric.query)).fetchall()[0][0]
                results[index] = Measured(None if value is None else float(value), None)
            except duckdb.Error as error:
                results[index] = Measured(None, None, _first_line(error))
    return results


def _shares(
    con: duckdb.DuckDBPyConnection, subject: Subject, shares: Sequence[tuple[int, Metric]]
) -> dict[int, Measured]:
    if not shares:
        return {}
    picks = []
    for _, metric in shares:
        of, share = subject.filled(metric.of), subject.filled(metric.share or "false")
        picks.append(f"count(*) filter (where {of}), count(*) filter (where ({of}) and ({share}))")
    counts = con.execute(f"select {', '.join(picks)} from {subject.rows} as checked").fetchall()[0]
    return {
        index: Measured(counts[2 * at + 1] / counts[2 * at] if counts[2 * at] else None, counts[2 * at + 1])
        for at, (index, _) in enumerate(shares)
    }


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]


def sample_keys(con: duckdb.DuckDBPyConnection, subject: Subject, suite: Suite, unfit: str | None) -> tuple[str, ...]:
    """Hashed keys of a few rows at fault, in the rows' order of keys: the same for the same rows."""
    if unfit is None or not suite.key:
        return ()
    key = ", ".join(f"coalesce(cast({quoted(column)} as varchar), '')" for column in suite.key)
    try:
        rows = con.execute(
            f"select distinct left(sha256(concat_ws('|', {key})), {_HASH_LENGTH}) as row_key "
            f"from {subject.rows} as checked where {subject.filled(unfit)} order by row_key limit {SAMPLES}"
        ).fetchall()
    except duckdb.Error:
        return ()
    return tuple(row[0] for row in rows)
