"""What a suite is made of: rules on columns, which Great Expectations checks row by row, and metrics computed in SQL.

Suites are declared in `expectations/declarations/*.yml`; for raw tables, what the contract in sources.yml says
(required, accepted values, primary key, JSON, event time) becomes rules without being repeated.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from expectations.report import Severity

Kind = Literal["not_null", "in_set", "between"]


class Rule(BaseModel):
    """An expectation on the values of a column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    expect: Kind
    severity: Severity = "blocking"
    mostly: float = Field(default=1.0, gt=0, le=1)
    """Share of rows that must fit (empty ones aside, but for not_null)."""
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        if self.expect == "in_set" and not self.values:
            raise ValueError(f"{self.column}: in_set needs `values`")
        if self.expect == "between" and self.min is None and self.max is None:
            raise ValueError(f"{self.column}: between needs `min` or `max`")
        return self

    @property
    def unfit(self) -> str:
        """SQL that is true for a row at fault."""
        column = quoted(self.column)
        if self.expect == "not_null":
            return f"{column} is null"
        if self.expect == "in_set":
            return f"{column} not in ({', '.join(literal(value) for value in self.values)})"
        bounds = [f"{column} < {self.min}"] if self.min is not None else []
        bounds += [f"{column} > {self.max}"] if self.max is not None else []
        return "(" + " or ".join(bounds) + ")"


class Metric(BaseModel):
    """A number computed in SQL, and the bounds it must keep.

    Either `share` (a predicate: the share of rows for which it is true) or `query` (a statement of one number, with
    `{load}` for the rows at hand, `{table}` for all rows of the table, `{schema}`, `{load_id}`, `{as_of}`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    column: str | None = None
    share: str | None = None
    of: str = "true"
    """Predicate of the rows that count."""
    query: str | None = None
    rows: str | None = None
    """With `query`: predicate of rows to show as samples."""
    min: float | None = None
    max: float | None = None
    severity: Severity = "blocking"

    @model_validator(mode="after")
    def _complete(self) -> Metric:
        if (self.share is None) == (self.query is None):
            raise ValueError(f"{self.name}: needs one of `share` and `query`")
        if self.min is None and self.max is None:
            raise ValueError(f"{self.name}: needs `min` or `max`")
        return self

    @property
    def unfit(self) -> str | None:
        """SQL that is true for a row at fault, if a metric has such rows."""
        return f"({self.of}) and ({self.share})" if self.share else self.rows


class Suite(BaseModel):
    """All that is expected of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    table: str
    key: tuple[str, ...] = ()
    """Columns that name a row; shown hashed only."""
    rules: tuple[Rule, ...] = ()
    metrics: tuple[Metric, ...] = ()

    def extended(self, other: Suite) -> Suite:
        """Both suites as one; metrics of `other` replace those of the same name and severity."""
        own = {(metric.name, metric.severity) for metric in other.metrics}
        kept = tuple(metric for metric in self.metrics if (metric.name, metric.severity) not in own)
        return self.model_copy(
            update={
                "key": other.key or self.key,
                "rules": self.rules + other.rules,
                "metrics": kept + other.metrics,
            }
        )


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
