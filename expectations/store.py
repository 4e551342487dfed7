"""Results into `ops.check_runs` and `ops.check_results`, and the list of Data Docs."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from expectations.report import CheckResult, CheckRun
from expectations.suite import Metric, Rule
from warehouse.clock import utcnow

KEPT_DOCS = 10
"""Calls whose Data Docs are kept (some megabytes each); results stay in the warehouse for ever."""


def expectation_name(expected: Rule | Metric) -> str:
    """How an expectation is called in results and messages."""
    if isinstance(expected, Metric):
        return expected.name
    return {"not_null": "not_null", "in_set": "accepted_values", "between": "between"}[expected.expect]


def message_of(expected: Rule | Metric, observed: str | None, fault: str | None) -> str:
    """What was found and what was expected, without any value of a row."""
    low, high = expected.min, expected.max
    if isinstance(expected, Rule):
        wanted = {
            "not_null": "no empty value",
            "in_set": f"one of {', '.join(expected.values)}",
            "between": f"{'' if low is None else low} to {'' if high is None else high}",
        }[expected.expect]
        if expected.mostly < 1:
            wanted += f" in {expected.mostly:.0%} of rows"
    else:
        wanted = f"at most {high:g}" if low is None else f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
    if fault:
        return f"{expected.severity}: cannot be computed ({fault})"
    return f"{expected.severity}: {observed or 'nothing'} found, {wanted} expected"


def with_docs(run: CheckRun, docs: Path | None) -> CheckRun:
    """The run with the path of its Data Docs."""
    return replace(run, docs_path=str(docs) if docs else None)


def record(con: duckdb.DuckDBPyConnection, runs: Sequence[CheckRun], results: Sequence[CheckResult]) -> None:
    """Write runs and their results in one transaction."""
    now = utcnow()
    con.execute("begin")
    try:
        for run in runs:
            con.execute(
                "insert into ops.check_runs (check_run_id, subject_kind, subject_id, table_name, suite, success, "
                "n_expectations, n_failed, checked_at, docs_path) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    run.check_run_id, run.subject_kind, run.subject_id, run.table_name, run.suite, run.success,
                    run.n_expectations, run.n_failed, now, run.docs_path,
                ],
            )  # fmt: skip
        for result in results:
            con.execute(
                "insert into ops.check_results (check_run_id, subject_kind, subject_id, table_name, suite, "
                "expectation, column_name, success, unexpected_count, sample_row_keys, message, checked_at) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    result.check_run_id, result.subject_kind, result.subject_id, result.table_name, result.suite,
                    result.expectation, result.column_name, result.success, result.unexpected_count,
                    json.dumps(result.sample_row_keys), result.message, now,
                ],
            )  # fmt: skip
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise


def write_index(folder: Path, call_id: str, runs: Sequence[CheckRun]) -> Path:
    """Write `index.html`, which lists the Data Docs that are kept, newest first, and remove older ones."""
    (folder / call_id).mkdir(parents=True, exist_ok=True)
    summary = {
        "checked_at": f"{utcnow():%Y-%m-%d %H:%M} UTC",
        "tables": sorted({run.table_name for run in runs}),
        "failed": sorted({run.table_name for run in runs if not run.success}),
    }
    (folder / call_id / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    calls = sorted((path for path in folder.glob("checks_*") if path.is_dir()), reverse=True)
    for old in calls[KEPT_DOCS:]:
        shutil.rmtree(old, ignore_errors=True)
    rows = "".join(_row(path) for path in calls[:KEPT_DOCS] if (path / "summary.json").exists())
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Checks</title><style>body{font:16px/1.5 "
        "system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.3rem .8rem;"
        "border-bottom:1px solid #ddd}</style><h1>Checks</h1><p>Row keys and text are hashed or left out.</p>"
        f"<table><tr><th>When</th><th>Tables</th><th>Result</th></tr>{rows}</table></html>"
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _row(path: Path) -> str:
    summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    failed = html.escape(", ".join(summary["failed"]))
    result = f"failed: {failed}" if failed else "passed"
    tables = html.escape(", ".join(summary["tables"]))
    when = html.escape(summary["checked_at"])
    return f"<tr><td><a href='{path.name}/index.html'>{when}</a></td><td>{tables}</td><td>{result}</td></tr>"
