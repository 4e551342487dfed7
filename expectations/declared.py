"""The suite of each boundary table: generic, derived from the contract in sources.yml, extended by declarations."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from expectations.suite import Metric, Rule, Suite, literal, quoted
from warehouse.errors import ConfigError
from warehouse.settings import Settings

DECLARATIONS = Path(__file__).parent / "declarations"
ACTIVATION_TABLES = ("sync_esp__members", "sync_esp__segment_members", "sync_esp__events")
_FEW, _MANY = 0.05, 0.5


def _meta(node: dict[str, Any]) -> dict[str, Any]:
    return {**(node.get("meta") or {}), **((node.get("config") or {}).get("meta") or {})}


@cache
def _sources(path: Path, _modified_ns: int) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {
        str(table["name"]): table
        for source in content.get("sources") or []
        if source.get("name") == "raw"
        for table in source.get("tables") or []
        if not _meta(table).get("loader")
    }


@cache
def _declaration(path: Path, _modified_ns: int) -> Suite:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Suite.model_validate({"name": path.stem, "table": path.stem, **content})
    except (yaml.YAMLError, ValidationError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise ConfigError(f"The suite is wrong: {detail}", where=str(path), todo="correct it") from None


def _read_declaration(table: str) -> Suite | None:
    path = DECLARATIONS / f"{table}.yml"
    return _declaration(path, path.stat().st_mtime_ns) if path.exists() else None


def generic_metrics() -> tuple[Metric, ...]:
    """What is expected of any load."""
    previous = (
        "(select rows_loaded from ops.loads where table_name = {table_name} and load_id <> {load_id} "
        "and rows_loaded > 0 order by loaded_at desc limit 10)"
    )
    ratio = (
        "select case when count(*) >= 3 then (select cast(count(*) as double) from {load}) / median(rows_loaded) end "
        f"from {previous} as previous"
    )
    return (
        Metric(name="rows", query="select count(*) from {load}", min=1, severity="warning"),
        Metric(name="rows_to_median_of_previous_loads", query=ratio, min=0.1, max=10, severity="warning"),
        Metric(
            name="share_quarantined",
            query="select case when rows_loaded + rows_quarantined > 0 then cast(rows_quarantined as double) "
            "/ (rows_loaded + rows_quarantined) end from ops.loads where load_id = {load_id}",
            max=0,
            severity="warning",
        ),
    )


def _twice(name: str, column: str, share: str, few: float, many: float, of: str = "true") -> list[Metric]:
    """A share that is worth a warning above `few`, and blocks above `many`."""
    return [
        Metric(name=name, column=column, share=share, of=of, max=few, severity="warning"),
        Metric(name=f"{name}_severe", column=column, share=share, of=of, max=many),
    ]


def _column_suite(name: str, data_type: str, meta: dict[str, Any]) -> tuple[list[Rule], list[Metric]]:
    rules: list[Rule] = []
    metrics: list[Metric] = []
    column = quoted(name)
    if meta.get("required"):
        rules.append(Rule(column=name, expect="not_null"))
    if meta.get("accepted"):
        values = tuple(str(value) for value in meta["accepted"])
        rules.append(Rule(column=name, expect="in_set", values=values, severity="warning"))
        rules.append(Rule(column=name, expect="in_set", values=values, mostly=1 - _FEW))
    if meta.get("format") == "json":
        share = f"not json_valid({column})"
        metrics += _twice(f"share_{name}_no_json", name, share, 0, _FEW, of=f"{column} is not null")
    if meta.get("format") == "email":
        share = f"{column} not like '%_@_%'"
        metrics += _twice(f"share_{name}_no_address", name, share, 0.1, _MANY, of=f"{column} is not null")
    if "min" in meta and not data_type.startswith("text"):
        share = f"{column} < {float(meta['min'])}"
        metrics += _twice(f"share_{name}_below_{meta['min']}", name, share, 0, _FEW, of=f"{column} is not null")
    return rules, metrics


def _key_metrics(key: tuple[str, ...], may_repeat: bool) -> list[Metric]:
    columns = ", ".join(quoted(column) for column in key)
    query = (
        "select case when count(*) > 0 then 1 - cast((select count(*) from (select 1 from {load} "
        f"group by {columns}) as keys) as double) / count(*) end from {{load}}"
    )
    rows = f"({columns}) in (select ({columns}) from {{load}} group by {columns} having count(*) > 1)"
    column = ", ".join(key)
    name = "share_duplicate_keys"
    few, many = (0.1, 0.5) if may_repeat else (0.0, 0.1)
    return [
        Metric(name=name, column=column, query=query, rows=rows, max=few, severity="warning"),
        Metric(name=f"{name}_severe", column=column, query=query, rows=rows, max=many),
    ]


def _time_metrics(meta: dict[str, Any]) -> list[Metric]:
    metrics: list[Metric] = []
    event_at, received_at = meta.get("event_at"), meta.get("received_at")
    if event_at:
        event = quoted(str(event_at))
        future = f"{event} > _loaded_at + interval 1 day"
        metrics += _twice(f"share_{event_at}_in_the_future", str(event_at), future, 0, _FEW)
        ancient = f"{event} < timestamp '1990-01-01'"
        metrics += _twice(f"share_{event_at}_before_1990", str(event_at), ancient, 0, _FEW)
    if event_at and received_at:
        early = f"{quoted(str(received_at))} < {quoted(str(event_at))} - interval 1 hour"
        metrics += _twice(f"share_{received_at}_before_{event_at}", str(received_at), early, _FEW, _MANY)
    return metrics


def load_suite(settings: Settings, table: str) -> Suite:
    """The suite of a raw table; a table that nobody declared gets the generic one.

    Raises:
        ConfigError: a declaration is wrong.
    """
    suite = Suite(name=f"raw.{table}", table=table, metrics=generic_metrics())
    path = settings.dbt_project_dir / "models" / "staging" / "sources.yml"
    node = _sources(path, path.stat().st_mtime_ns).get(table) if path.exists() else None
    if node:
        meta = _meta(node)
        key = tuple(str(column) for column in meta.get("primary_key") or ())
        rules: list[Rule] = []
        metrics = _key_metrics(key, bool(meta.get("may_repeat"))) if key else []
        metrics += _time_metrics(meta)
        for column in node.get("columns") or []:
            if _meta(column).get("loader"):
                continue
            more_rules, more_metrics = _column_suite(
                str(column["name"]), str(column.get("data_type", "text")), _meta(column)
            )
            rules += more_rules
            metrics += more_metrics
        suite = suite.model_copy(update={"key": key, "rules": tuple(rules), "metrics": suite.metrics + tuple(metrics)})
    declared = _read_declaration(table)
    return suite.extended(declared) if declared else suite


def undeclared_metrics(columns: dict[str, str]) -> tuple[Metric, ...]:
    """For a table without a suite: not everything may be empty."""
    if not columns:
        return ()
    empty = " and ".join(f"{quoted(name)} is null" for name in columns)
    return (Metric(name="share_empty_rows", share=empty, max=_MANY),)


def activation_suite(table: str) -> Suite:
    """The suite of an activation model.

    Raises:
        ConfigError: there is no declaration, or it is wrong.
    """
    suite = _read_declaration(table)
    if suite is None:
        raise ConfigError(f"There is no suite for {table}.", where=str(DECLARATIONS), todo=f"declare {table}.yml")
    return suite.model_copy(update={"name": f"activation.{table}"})


def fill(text: str, **values: str) -> str:
    """A declared statement with its placeholders filled."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


__all__ = ["ACTIVATION_TABLES", "activation_suite", "fill", "literal", "load_suite", "undeclared_metrics"]
