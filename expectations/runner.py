"""Run the suites: on loads that have not passed yet, and on the activation models of a build.

Rows are read on short connections; Great Expectations works without one; results are written at the end, so that a
kill leaves no half-recorded run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from expectations import declared, store
from expectations.frames import Measured, Subject, columns_of, measure, rule_frame, sample_keys
from expectations.report import CheckReport, CheckResult, CheckRun
from expectations.suite import Metric, Rule, Suite, literal, quoted
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

if TYPE_CHECKING:
    import pandas as pd

    from expectations.gx import Outcome, Validator

_LOADER_COLUMNS = frozenset({"_loaded_at", "_load_id", "_row_number"})


def check_loads(
    settings: Settings, load_ids: Sequence[str] | None = None, *, tables: Sequence[str] | None = None
) -> CheckReport:
    """Check loads against their tables' suites.

    Args:
        settings: the installation.
        load_ids: which loads; default: all whose newest check did not pass, or that have none.
        tables: only loads of these raw tables.

    Raises:
        DataError: an unknown load id.
        ConfigError: a suite is declared wrongly.
    """
    with connect(settings, purpose="check loads") as con:
        ensure_state(con, settings)
        loads = _loads_to_check(con, load_ids)
        subjects = [
            (_load_subject(load_id, table), declared.load_suite(settings, table))
            for load_id, table in loads
            if tables is None or table in tables
        ]
    return _check(settings, "raw", subjects)


def check_activation(settings: Settings, build_id: str | None = None) -> CheckReport:
    """Check the activation models as the newest succeeded build of the schema left them.

    Args:
        settings: the installation.
        build_id: the build to record results for; default: the newest one of the schema that succeeded.

    Raises:
        DataError: nothing was built yet, or the build is unknown, or not the newest of its schema.
    """
    with connect(settings, purpose="check activation") as con:
        ensure_state(con, settings)
        rows = con.execute(
            "select build_id from ops.builds where schema_name = ? and status = 'succeeded' "
            "order by started_at desc, build_id desc limit 1",
            [settings.schema],
        ).fetchall()
    newest = rows[0][0] if rows else None
    if newest is None or (build_id is not None and build_id != newest):
        raise DataError(
            f"Schema '{settings.schema}' has no succeeded build to check."
            if newest is None
            else f"Build {build_id} is not the newest of schema '{settings.schema}': its tables are gone.",
            where=settings.schema,
            todo="run `mailwright build` first",
        )
    subjects = [
        (_build_subject(settings, newest, table), declared.activation_suite(table))
        for table in declared.ACTIVATION_TABLES
    ]
    return _check(settings, "activation", subjects)


def _loads_to_check(con: duckdb.DuckDBPyConnection, load_ids: Sequence[str] | None) -> list[tuple[str, str]]:
    if load_ids is None:
        return con.execute(
            "select load_id, table_name from ops.loads where load_id not in ("
            "select subject_id from (select subject_id, success, row_number() over (partition by subject_id "
            "order by checked_at desc, check_run_id desc) as age from ops.check_runs where subject_kind = 'load') "
            "where age = 1 and success) order by loaded_at, load_id"
        ).fetchall()
    rows = con.execute(
        "select load_id, table_name from ops.loads where load_id in (select unnest(?)) order by loaded_at, load_id",
        [list(load_ids)],
    ).fetchall()
    unknown = sorted(set(load_ids) - {row[0] for row in rows})
    if unknown:
        raise DataError(f"There is no load '{unknown[0]}'.", todo="`mailwright status` lists the loads")
    return rows


def _load_subject(load_id: str, table: str) -> Subject:
    return Subject(
        kind="load",
        subject_id=load_id,
        table=table,
        relation=f"raw.{quoted(table)}",
        condition=f"_load_id = {literal(load_id)}",
        placeholders={"load_id": literal(load_id), "table_name": literal(table)},
    )


def _build_subject(settings: Settings, build_id: str, table: str) -> Subject:
    return Subject(
        kind="build",
        subject_id=build_id,
        table=table,
        relation=f"{quoted(settings.schema)}.{quoted(table)}",
        condition="true",
        placeholders={"schema": quoted(settings.schema), "load_id": literal(build_id)},
    )


@dataclass(frozen=True)
class _Prepared:
    """A suite and its subject as read from the warehouse."""

    subject: Subject
    suite: Suite
    rules: tuple[Rule, ...]
    metrics: tuple[Metric, ...]
    frame: pd.DataFrame
    measured: dict[int, Measured]
    absent: tuple[str, ...]
    """Columns that rules name and the table lacks."""
    seconds: float


def _prepare(con: duckdb.DuckDBPyConnection, subject: Subject, suite: Suite) -> _Prepared:
    started = time.monotonic()
    columns = columns_of(con, subject.relation)
    if not columns:
        raise DataError(f"There is no table {subject.relation}.", todo="load or build it again")
    metrics = suite.metrics
    if subject.kind == "load" and not suite.rules:
        own = {name: kind for name, kind in columns.items() if name not in _LOADER_COLUMNS}
        metrics += declared.undeclared_metrics(own)
    rules = tuple(rule for rule in suite.rules if rule.column in columns)
    absent = tuple(dict.fromkeys(rule.column for rule in suite.rules if rule.column not in columns))
    return _Prepared(
        subject=subject,
        suite=suite,
        rules=rules,
        metrics=metrics,
        frame=rule_frame(con, subject, rules, columns),
        measured=measure(con, subject, metrics),
        absent=absent,
        seconds=time.monotonic() - started,
    )


def _check(settings: Settings, border: str, subjects: Sequence[tuple[Subject, Suite]]) -> CheckReport:
    if not subjects:
        return CheckReport((), ())
    from expectations.gx import Validator

    call_id = new_id("checks")
    with _quiet():
        validator = Validator()
        judged: list[tuple[CheckRun, list[CheckResult]]] = []
        for subject, suite in subjects:
            started = time.monotonic()
            with connect(settings, purpose=f"check {suite.name}") as con:
                prepared = _prepare(con, subject, suite)
            outcomes = _judge(validator, border, prepared)
            unmet = [at for at, (_, outcome) in enumerate(outcomes) if not outcome.is_met]
            keys: dict[int, tuple[str, ...]] = {}
            if unmet:
                with connect(settings, purpose=f"check {suite.name}") as con:
                    keys = {at: sample_keys(con, subject, suite, outcomes[at][0].unfit) for at in unmet}
            judged.append(_results(prepared, outcomes, keys, time.monotonic() - started))
        docs = None
        with contextlib.suppress(OSError):  # pages are a by-product: no disk for them is no reason to lose results
            docs = validator.write_docs(settings.data_docs_dir / call_id)
    runs = [store.with_docs(run, docs) for run, _ in judged]
    results = [result for _, found in judged for result in found]
    with connect(settings, purpose="record checks") as con:
        store.record(con, runs, results)
    with contextlib.suppress(OSError):
        store.write_index(settings.data_docs_dir, call_id, runs)
    return CheckReport(tuple(runs), tuple(results))


def _judge(validator: Validator, border: str, prepared: _Prepared) -> list[tuple[Rule | Metric, Outcome]]:
    batch, name = prepared.subject.subject_id, prepared.suite.name
    on_rules = validator.check_rules(border, name, batch, prepared.frame, prepared.rules)
    on_metrics = validator.check_metrics(border, name, batch, prepared.metrics, prepared.measured)
    return [
        *zip(prepared.rules, on_rules, strict=True),
        *zip(prepared.metrics, on_metrics, strict=True),
    ]


def _results(
    prepared: _Prepared,
    outcomes: list[tuple[Rule | Metric, Outcome]],
    keys: dict[int, tuple[str, ...]],
    seconds: float,
) -> tuple[CheckRun, list[CheckResult]]:
    subject, run_id = prepared.subject, new_id("check")
    common: dict[str, Any] = {
        "check_run_id": run_id,
        "subject_kind": subject.kind,
        "subject_id": subject.subject_id,
        "table_name": subject.table,
        "suite": prepared.suite.name,
    }
    found = [
        CheckResult(
            **common,
            expectation=store.expectation_name(expected),
            column_name=expected.column,
            severity=expected.severity,
            is_met=outcome.is_met,
            unexpected_count=outcome.unexpected_count,
            sample_row_keys=keys.get(at, ()),
            message=None if outcome.is_met else store.message_of(expected, outcome.observed, _fault(prepared, at)),
        )
        for at, (expected, outcome) in enumerate(outcomes)
    ]
    found += [
        CheckResult(
            **common,
            expectation="column_exists",
            column_name=column,
            severity="blocking",
            is_met=False,
            unexpected_count=None,
            sample_row_keys=(),
            message="blocking: the column is missing",
        )
        for column in prepared.absent
    ]
    failed = sum(not result.success for result in found)
    run = CheckRun(
        **common,
        success=failed == 0,
        n_expectations=len(found),
        n_failed=failed,
        n_warnings=sum(result.success and not result.is_met for result in found),
        seconds=round(seconds, 3),
        docs_path=None,
    )
    return run, found


def _fault(prepared: _Prepared, at: int) -> str | None:
    index = at - len(prepared.rules)
    return prepared.measured[index].fault if index >= 0 else None


class _quiet:
    """GX logs each calculation; our results say what counts."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("great_expectations")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


__all__ = ["CheckReport", "check_activation", "check_loads"]
