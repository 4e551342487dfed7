"""Runs dbt as a subprocess: it keeps the database file open, so it must not live in our process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from warehouse.connection import connect
from warehouse.errors import ConfigError, MailwrightError, RetriableError
from warehouse.lock import child_environment, writer_lock
from warehouse.settings import Settings

_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d+ \[(?P<level>\w+) *\] \[[^\]]*\]: (?P<message>.*)")
_ON_COLUMNS = ("never_null_", "nothing_later_than_as_of_")
"""How the names of our tests on several columns begin."""
_PATIENCE_SECONDS = 5.0
_RELATION = re.compile(r'from (?:"\w+"\.)+"(\w+)"')


@dataclass(frozen=True)
class DbtResult:
    """What one dbt invocation did."""

    success: bool
    n_models: int
    n_tests: int
    failures: tuple[tuple[str, str], ...] = ()
    """(node name, first lines of its message) of each node that failed."""
    run_results: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def explain(self, limit: int = 5) -> str:
        """The failures as a short text for people."""
        lines = [f"{node}: {message}" for node, message in self.failures[:limit]]
        if len(self.failures) > limit:
            lines.append(f"… and {len(self.failures) - limit} more")
        return "\n".join(lines)


def dbt_executable() -> str:
    """The `dbt` of this Python environment, whether or not it is on PATH.

    Raises:
        ConfigError: it is not installed here.
    """
    path = Path(sys.executable).parent / "dbt"
    if not path.exists():
        raise ConfigError("dbt is not installed in this environment.", where=str(path.parent), todo="run `make setup`")
    return str(path)


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Environment variables that `dbt_project/profiles.yml` reads."""
    return {
        "MAILWRIGHT_HOME": str(settings.home),
        "MAILWRIGHT_WAREHOUSE": str(settings.warehouse_path),
        "MAILWRIGHT_SCHEMA": settings.schema,
        "MAILWRIGHT_THREADS": str(settings.threads),
        "MAILWRIGHT_MEMORY_LIMIT": settings.memory_limit,
        # dbt needs a model's parents before it knows which models there are: macros/segments/segment.sql
        "MAILWRIGHT_SEGMENTS": " ".join(
            sorted(path.stem for path in (settings.dbt_project_dir / "models" / "segments").glob("seg_*.sql"))
        ),
        "DBT_TARGET_PATH": str(settings.dbt_target_dir),
        "DBT_LOG_PATH": str(settings.dbt_target_dir / "logs"),
        # what it says on stdout is for us; the file is for people, and quicker to write as text
        "DBT_LOG_FORMAT_FILE": "text",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }


def dbt_arguments(settings: Settings, target: str | None = None) -> list[str]:
    """Arguments that every invocation on this installation takes."""
    project = str(settings.dbt_project_dir)
    return [
        "--project-dir", project,
        "--profiles-dir", project,
        "--target", target or settings.target,
    ]  # fmt: skip


def run_dbt(
    settings: Settings,
    args: Sequence[str],
    *,
    on_line: Callable[[str], None] | None = None,
    timeout_seconds: float = 3600,
    target: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> DbtResult:
    """Run `dbt ARGS` under the writer's lock; `on_line` gets dbt's messages as they come.

    A failing model or test is not an exception but `DbtResult.success = False` with its message.

    Raises:
        RetriableError: it did not end within `timeout_seconds`, and was ended.
    """
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    results_path = settings.dbt_target_dir / "run_results.json"
    results_path.unlink(missing_ok=True)
    # each line with its level; as JSON, dbt would format each of its debug lines too, which nobody gets to see
    command = [dbt_executable(), "--log-format", "debug", "--no-use-colors", *args, *dbt_arguments(settings, target)]
    errors: list[tuple[str, str]] = []
    message = ""
    with writer_lock(settings, f"dbt {args[0]}"):
        env = {
            **os.environ,
            **dbt_environment(settings),
            **child_environment(settings),
            **(environment or {}),
        }
        process = subprocess.Popen(  # our own arguments
            command,
            cwd=settings.dbt_project_dir,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout_seconds, stop)
        timer.start()
        try:
            assert process.stdout is not None
            for message, is_error in messages_of(process.stdout):
                message = without_row(message)
                if is_error:
                    errors.append(("dbt", message))
                if on_line:
                    on_line(message)
            process.wait()
        except BaseException:
            stop()
            process.wait()  # the file is free again when we leave
            raise
        finally:
            timer.cancel()
    if timed_out.is_set():
        raise RetriableError(
            f"`dbt {args[0]}` did not end within {timeout_seconds:.0f} s and was stopped.",
            where=str(settings.dbt_target_dir / "logs" / "dbt.log"),
            todo="look at the log; raise the limit for a very large warehouse; then run this again",
        )
    result = read_result(process.returncode, results_path, errors or [("dbt", message)])
    return result if target else name_columns(settings, result)


def messages_of(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """(message, is it an error) of dbt's log lines, each as it comes; an error once all of its lines are there."""
    text, is_error = "", False
    for line in lines:
        found = _LOG_LINE.match(line)
        if not found:
            text += "" if line.startswith("=====") else line
            continue
        if text.strip():
            yield text.strip(), is_error
        text, is_error = found["message"] + "\n", found["level"] == "error"
        if not is_error:
            if text.strip():
                yield text.strip(), False
            text = ""
    if text.strip():
        yield text.strip(), is_error


def without_row(message: str) -> str:
    """The message without the row that PostgreSQL shows under a violated constraint: it is somebody's."""
    return re.sub(r"\s*DETAIL:.*", "", message, flags=re.DOTALL)


def read_result(returncode: int, path: Path, errors: Sequence[tuple[str, str]] = ()) -> DbtResult:
    """Fold dbt's `run_results.json`; without one (dbt could not start), `errors` say why."""
    if not path.exists():
        return DbtResult(returncode == 0, 0, 0, tuple(errors) if returncode else ())
    results = json.loads(path.read_text(encoding="utf-8"))
    models = tests = 0
    failures: list[tuple[str, str]] = []
    for result in results["results"]:
        kind, *_, name = result["unique_id"].split(".")
        if kind in {"test", "unit_test"}:
            tests += 1
            name = ".".join(result["unique_id"].split(".")[2:3]) if kind == "test" else name
        elif kind in {"model", "seed", "snapshot"}:
            models += 1
        if result["status"] in {"error", "fail", "runtime error"}:
            message = without_row(str(result.get("message") or result["status"]))
            failures.append((name, " ".join(message.split())[:500]))
    if returncode and not failures:
        failures = list(errors)
    return DbtResult(returncode == 0, models, tests, tuple(failures), results)


def name_columns(settings: Settings, result: DbtResult) -> DbtResult:
    """The same result, where a failed test on several columns says in which of them it found how many rows.

    dbt itself tells how many rows a test returned; those of these tests are (column_name, n_rows). Without the
    warehouse, which somebody else may be using by now, dbt's own words stay.
    """
    failed = {
        node["unique_id"].split(".")[2]: node["compiled_code"]
        for node in result.run_results.get("results", [])
        if node["status"] == "fail" and node.get("compiled_code")
    }
    named: dict[str, str] = {}
    ours = {name: sql for name, sql in failed.items() if name.startswith(_ON_COLUMNS)}
    patient = settings.model_copy(update={"lock_timeout_seconds": _PATIENCE_SECONDS})
    with contextlib.suppress(duckdb.Error, MailwrightError):
        if ours:
            with connect(patient, read_only=True, purpose="explain") as con:
                for name, sql in ours.items():
                    table = _RELATION.findall(sql)[-1]  # those before it are the clock
                    found = con.execute(sql).fetchall()
                    columns = ", ".join(f"{column} ({rows:,} row{'s' * (rows != 1)})" for column, rows in found)
                    named[name] = f"{table}: {columns}"
    return replace(result, failures=tuple((name, named.get(name, message)) for name, message in result.failures))
