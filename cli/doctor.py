"""What `mailwright doctor` looks at: each function returns findings and repairs nothing."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError, RetriableError
from warehouse.settings import Settings

Level = Literal["ok", "warn", "fail"]
OLDEST_PYTHON = (3, 11)
GIGABYTE = 1024**3
DISK_FAIL, DISK_WARN = 1 * GIGABYTE, 5 * GIGABYTE


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    level: Level
    subject: str
    message: str
    todo: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """All findings, in a fixed order; a look that itself fails is a finding too."""
    looks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _python, _packages, _paths, _disk, _lock, _warehouse, _dbt, _rules, _credentials, _telemetry,
    )  # fmt: skip
    findings: list[Finding] = []
    for look in looks:
        try:
            findings += look(settings)
        except Exception as error:
            subject = look.__name__.strip("_")
            findings.append(Finding("fail", subject, f"could not be examined: {type(error).__name__}: {error}"))
    return findings


def _python(_: Settings) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST_PYTHON:
        yield Finding("ok", "python", f"{found} in {sys.prefix}")
    else:
        yield Finding("fail", "python", f"{found} is too old", "install Python 3.11 or newer, then `make setup`")


def locked_packages(file: Path) -> dict[str, str]:
    """Name → version of every pinned package that applies to this Python."""
    from packaging.requirements import Requirement

    pins: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.rstrip("\\ ").strip())
        if requirement.marker is None or requirement.marker.evaluate():
            pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    return pins


def _packages(settings: Settings) -> Iterator[Finding]:
    file = settings.project_dir / "requirements" / "runtime.txt"
    if not file.exists():
        yield Finding("fail", "packages", f"the lock is missing: {file}", "restore it from the repository")
        return
    missing, different = [], []
    pins = locked_packages(file)
    for name, wanted in pins.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found != wanted:
            different.append(f"{name} {found} (locked: {wanted})")
    todo = "remove .venv and run `make setup`"
    if missing:
        yield Finding("fail", "packages", f"not installed: {', '.join(missing)}", todo)
    if different:
        yield Finding("warn", "packages", f"not as locked: {', '.join(different)}", todo)
    if not missing and not different:
        yield Finding("ok", "packages", f"{len(pins)} installed as locked")


def _paths(settings: Settings) -> Iterator[Finding]:
    for name, path in (("home", settings.home), ("warehouse folder", settings.warehouse_path.parent)):
        if name != "home" and path == settings.home:
            continue
        nearest = path
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            yield Finding("fail", name, f"{nearest} is a file", f"move it away, or name another {name}")
            continue
        try:
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError as error:
            todo = "give yourself write access, or name another folder with --home"
            yield Finding("fail", name, f"{nearest} cannot be written to: {error.strerror}", todo)
        else:
            yield Finding("ok", name, f"{path}" + ("" if path.exists() else " (will be made)"))


def _disk(settings: Settings) -> Iterator[Finding]:
    nearest = settings.warehouse_path.parent
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    text = f"{free / GIGABYTE:.1f} GB free"
    if free < DISK_FAIL:
        yield Finding("fail", "disk", text, "free some space: a build needs several times the size of its input")
    elif free < DISK_WARN:
        yield Finding("warn", "disk", text, "a build needs several times the size of its input")
    else:
        yield Finding("ok", "disk", text)


def _lock(settings: Settings) -> Iterator[Finding]:
    from filelock import FileLock, Timeout

    if not settings.lock_path.exists():
        yield Finding("ok", "lock", "free")
        return
    lock = FileLock(settings.lock_path)
    try:
        with lock.acquire(timeout=0):
            yield Finding("ok", "lock", "free")
    except Timeout:
        try:
            holder = settings.lock_path.with_suffix(".holder").read_text(encoding="utf-8").strip()
        except OSError:
            holder = "another process"
        yield Finding("warn", "lock", f"held: {holder} is writing", "wait for it; other commands wait by themselves")
    except OSError as error:
        todo = "give yourself write access to it"
        yield Finding("fail", "lock", f"{settings.lock_path} cannot be opened: {error.strerror}", todo)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    import duckdb

    path = settings.warehouse_path
    if not path.exists():
        yield Finding("warn", "warehouse", f"none yet at {path}", "run `mailwright demo`, or `mailwright load PATH`")
        return
    size = path.stat().st_size / 1024**2
    with path.open("rb") as file:
        header = file.read(20)
    if header[8:12] != b"DUCK":
        todo = "move it away, or restore the last backup with `mailwright restore`"
        yield Finding("fail", "warehouse", f"{path} is not a DuckDB file", todo)
        return
    storage = int.from_bytes(header[12:20], "little")
    at_once = settings.model_copy(update={"lock_timeout_seconds": 0.0})
    try:
        with connect(at_once, read_only=True, purpose="doctor") as con:
            tables = con.execute("select count(*) from duckdb_tables()").fetchall()[0][0]
    except RetriableError:
        yield Finding("ok", "warehouse", f"{size:,.0f} MB, storage version {storage}; being written to right now")
    except (DataError, duckdb.Error) as error:
        todo = "restore the last backup with `mailwright restore`, or open it with the DuckDB version that wrote it"
        reason = str(error).splitlines()[0]
        yield Finding("fail", "warehouse", f"DuckDB {duckdb.__version__} cannot read {path}: {reason}", todo)
    else:
        text = f"{tables} tables, {size:,.0f} MB, storage version {storage}, readable by DuckDB {duckdb.__version__}"
        yield Finding("ok", "warehouse", text)


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None


def _dbt(settings: Settings) -> Iterator[Finding]:
    from warehouse.dbt import dbt_executable

    project = _read_yaml(settings.dbt_project_dir / "dbt_project.yml")
    if not isinstance(project, dict):
        yield Finding(
            "fail", "dbt project", f"cannot be read: {settings.dbt_project_dir}", "restore it from the repository"
        )
        return
    profiles = _read_yaml(settings.dbt_project_dir / "profiles.yml")
    outputs = ((profiles or {}).get(project.get("profile")) or {}).get("outputs") or {}
    if settings.target in outputs:
        yield Finding("ok", "dbt profile", f"target {settings.target}, schema {settings.schema}")
    else:
        todo = f"declare it in {settings.dbt_project_dir / 'profiles.yml'}"
        yield Finding("fail", "dbt profile", f"there is no target '{settings.target}'", todo)
    try:
        yield Finding("ok", "dbt", f"{version('dbt-core')} at {dbt_executable()}")
    except (ConfigError, PackageNotFoundError) as error:
        yield Finding("fail", "dbt", str(error).splitlines()[0], "run `make setup`")


def _rules(settings: Settings) -> Iterator[Finding]:
    """What marketers want recommended, and whether the catalogue has it."""
    from warehouse.rules import FILE, read_rules
    from warehouse.rules_report import report_rules

    try:
        rules = read_rules(settings)
    except ConfigError as error:
        yield Finding("fail", "rules", f"{error.where}: {error.what}", error.todo)
        return
    text = ", ".join(f"{len(getattr(rules, kind))} {kind}" for kind in ("recommend", "exclude", "boost"))
    if not any(rules.each()):
        yield Finding("ok", "rules", f"none ({FILE} in {settings.home} would have them)")
        return
    warning = None
    if settings.warehouse_path.exists():
        at_once = settings.model_copy(update={"lock_timeout_seconds": 0.0})
        with suppress(RetriableError), connect(at_once, read_only=True, purpose="doctor") as con:
            warning = report_rules(con, settings, rules).warning
    if warning:
        yield Finding("warn", "rules", f"{text}; {warning}", "correct the file, or leave it: products come and go")
    else:
        yield Finding("ok", "rules", text)


def _credentials(settings: Settings) -> Iterator[Finding]:
    """Of every sync that this installation runs."""
    from reverse_etl.connect import needs_of
    from reverse_etl.declaration import list_syncs, read_sync

    for name in list_syncs(settings):
        missing = [variable for variable in needs_of(read_sync(settings, name)) if not os.environ.get(variable)]
        if missing:
            todo = f"set {' and '.join(missing)} before `mailwright sync {name}` (the demo needs none)"
            yield Finding("warn", "credentials", f"{name}: not set: {', '.join(missing)}", todo)
        else:
            yield Finding("ok", "credentials", f"{name}: set (not shown; `mailwright plan {name}` tries them)")


def _telemetry(settings: Settings) -> Iterator[Finding]:
    project = _read_yaml(settings.dbt_project_dir / "dbt_project.yml") or {}
    declared = settings.project_dir / "orchestration" / "dagster.yaml"
    dagster = _read_yaml(declared if declared.exists() else settings.project_dir / "dagster.yaml") or {}
    on = [
        name
        for name, is_off in (
            ("dbt", (project.get("flags") or {}).get("send_anonymous_usage_stats") is False),
            ("Dagster", (dagster.get("telemetry") or {}).get("enabled") is False),
            ("Great Expectations", os.environ.get("GX_ANALYTICS_ENABLED", "false").lower() != "true"),
        )
        if not is_off
    ]
    if on:
        todo = "set send_anonymous_usage_stats: false (dbt_project.yml), telemetry.enabled: false (dagster.yaml)"
        yield Finding("warn", "telemetry", f"not switched off: {', '.join(on)}", todo)
    else:
        yield Finding("ok", "telemetry", "off: dbt, Dagster, Great Expectations")
