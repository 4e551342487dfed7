"""A build: the dbt graph at one `as_of`, recorded with the loads that it could read.

The record is what the sync's gate asks for: did the newest build of this schema succeed, and had every load that it
read passed its checks? Machine learning sits in the middle of the graph, so a full refresh has two stages
(`before_ml`, then training and scoring, then `after_ml`) of one build; `all` runs the graph in one go on the
predictions that are there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from warehouse.clock import Clock, read_clock, set_clock, utcnow
from warehouse.connection import connect
from warehouse.dbt import DbtResult, run_dbt
from warehouse.errors import DataError, RefusedError
from warehouse.failpoints import failpoint
from warehouse.ids import new_id
from warehouse.lock import writer_lock
from warehouse.rules import read_rules, write_rules
from warehouse.settings import Settings
from warehouse.state import ensure_state

Stage = Literal["all", "before_ml", "after_ml"]

SELECTION: dict[Stage, list[str]] = {
    "all": [],
    "before_ml": ["--exclude", "tag:after_ml"],
    "after_ml": ["--select", "tag:after_ml"],
}


_PAST = "asof_"
"""How the names of schemas of past builds begin."""


@dataclass(frozen=True)
class BuildReport:
    """What a build (or one stage of it) did."""

    build_id: str
    schema_name: str
    as_of: datetime
    known_at: datetime
    status: str
    n_models: int
    n_tests: int
    n_failed: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"as_of": f"{self.as_of}Z", "known_at": f"{self.known_at}Z"}


def settings_as_of(settings: Settings, as_of: datetime, purpose: str = "") -> Settings:
    """Settings of a past build: a schema of its own, named by the instant (and the purpose), never production."""
    name = _PAST + re.sub(
        r"[^0-9t]",
        "",
        f"{as_of:%Y%m%d}" + (f"{as_of:t%H%M%S}" if as_of.time().isoformat() != "00:00:00" else ""),
    )
    return settings.model_copy(update={"schema_override": f"{name}_{purpose}" if purpose else name})


def forget_past(settings: Settings) -> None:
    """Drop the schemas of a past build, and its models' files; what `ops` records of it stays.

    Raises:
        ValueError: these settings are not of a past build.
    """
    if not settings.schema.startswith(_PAST):
        raise ValueError(f"{settings.schema} is no schema of a past build")
    with connect(settings, purpose="drop a past build") as con:
        _drop_past(con, settings)
    shutil.rmtree(settings.artefacts_dir, ignore_errors=True)


def _drop_past(con: Any, settings: Settings) -> None:
    con.execute("begin")
    for schema in (settings.schema, settings.ml_schema):
        con.execute(f'drop schema if exists "{schema}" cascade')
    con.execute("commit")


def pin_clock(settings: Settings, as_of: datetime) -> None:
    """Pin `as_of` for this installation: its data ends there, so the wall clock would make everyone lapsed."""
    with connect(settings, purpose="clock") as con:
        ensure_state(con, settings)
        con.execute("begin")
        con.execute("delete from ops.pinned_clock")
        con.execute("insert into ops.pinned_clock values (?)", [as_of])
        con.execute("commit")


def _decide_clock(con: Any, settings: Settings, as_of: datetime | None, known_at: datetime | None) -> Clock:
    if as_of is None:
        pinned = con.execute("select as_of from ops.pinned_clock").fetchall()
        as_of = pinned[0][0] if pinned else None
    if as_of is None:
        now = utcnow()
        return Clock(as_of=now, known_at=known_at or now)
    # at a stated instant, what had not arrived by then is not known
    return Clock(as_of=as_of, known_at=known_at or as_of)


def open_build(settings: Settings, as_of: datetime | None = None, known_at: datetime | None = None) -> BuildReport:
    """Set the clock, read the company's rules, and record the build as running, with every load that it can read.

    Raises:
        ConfigError: the rules are wrong.
        RefusedError: production would go back in time.
    """
    rules = read_rules(settings)
    with connect(settings, purpose="build") as con:
        ensure_state(con, settings)
        if settings.schema.startswith(_PAST):
            # a past build starts from nothing, so that two of them are identical
            _drop_past(con, settings)
            ensure_state(con, settings)
        write_rules(con, settings, rules)
        clock = _decide_clock(con, settings, as_of, known_at)
        last = con.execute(
            "select max(as_of) from ops.builds where schema_name = ? and status = 'succeeded'",
            [settings.schema],
        ).fetchall()[0][0]
        if last is not None and clock.as_of < last:
            raise RefusedError(
                f"Schema '{settings.schema}' was already built as of {last}Z; {clock.as_of}Z lies before it.",
                todo="look at the past with `mailwright build --as-of`, which builds into a schema of its own",
            )
        set_clock(con, settings.schema, clock)
        return _record(con, settings, clock)


def _record(con: Any, settings: Settings, clock: Clock) -> BuildReport:
    build_id = new_id("build")
    con.execute("begin")
    con.execute(
        "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, status) "
        "values (?, ?, ?, ?, ?, 'running')",
        [build_id, settings.schema, clock.as_of, clock.known_at, utcnow()],
    )
    con.execute("insert into ops.build_loads select ?, load_id from ops.loads", [build_id])
    con.execute("commit")
    return BuildReport(build_id, settings.schema, clock.as_of, clock.known_at, "running", 0, 0, 0)


def reopen_build(settings: Settings) -> BuildReport:
    """Record another build at the clock that stands: of a part of the graph, or of the second stage once more.

    Every load counts as one that it could read, which is the careful answer for the gate.

    Raises:
        ConfigError: the rules are wrong.
        DataError: nothing was built there yet.
    """
    rules = read_rules(settings)
    with connect(settings, purpose="build") as con:
        ensure_state(con, settings)
        write_rules(con, settings, rules)
        clock = read_clock(con, settings.schema)
        return _record(con, settings, clock)


def continue_build(settings: Settings, *, again: bool = False) -> BuildReport:
    """The build that waits for its second stage.

    With `again`, one that has had it may have it once more (newer predictions; another run got there first): that is
    recorded as a build of its own.

    Raises:
        ConfigError: the rules are wrong.
        RefusedError: the newest build of this schema does not wait for one.
    """
    rules = read_rules(settings)
    with connect(settings, purpose="build") as con:
        ensure_state(con, settings)
        write_rules(con, settings, rules)
        rows = con.execute(
            "select build_id, as_of, known_at, status, n_models, n_tests from ops.builds "
            "where schema_name = ? order by started_at desc, build_id desc limit 1",
            [settings.schema],
        ).fetchall()
        if again and rows and rows[0][3] == "succeeded":
            return _record(con, settings, read_clock(con, settings.schema))
        if not rows or rows[0][3] != "awaiting_ml":
            raise RefusedError(
                f"The newest build of schema '{settings.schema}' does not wait for a second stage.",
                todo="run the whole graph (`mailwright build`), or first `mailwright build --stage before_ml`",
            )
        build_id, as_of, known_at, _, n_models, n_tests = rows[0]
        if read_clock(con, settings.schema).as_of != as_of:
            raise DataError("The clock was moved between the two stages of a build.", todo="run `mailwright build`")
        con.execute("update ops.builds set status = 'running' where build_id = ?", [build_id])
    return BuildReport(build_id, settings.schema, as_of, known_at, "running", n_models or 0, n_tests or 0, 0)


def close_build(
    settings: Settings, opened: BuildReport, result: DbtResult, *, stage: Stage | Literal["partial"] = "all"
) -> BuildReport:
    """Record how a stage ended; counts add up over the stages of one build.

    A `partial` build leaves no whole: whoever asks for a succeeded build (the sync) waits for the next one.
    """
    status = {"before_ml": "awaiting_ml", "partial": "partial"}.get(stage, "succeeded") if result.success else "failed"
    report = BuildReport(
        opened.build_id,
        opened.schema_name,
        opened.as_of,
        opened.known_at,
        status,
        opened.n_models + result.n_models,
        opened.n_tests + result.n_tests,
        len(result.failures),
    )
    with connect(settings, purpose="build") as con:
        con.execute(
            "update ops.builds set status = ?, finished_at = ?, n_models = ?, n_tests = ?, n_failed = ?, message = ? "
            "where build_id = ?",
            [
                status, utcnow(), report.n_models, report.n_tests, report.n_failed,
                result.explain() or None, report.build_id,
            ],
        )  # fmt: skip
    return report


def build(
    settings: Settings,
    stage: Stage = "all",
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    *,
    on_line: Callable[[str], None] | None = None,
) -> BuildReport:
    """Build a stage of the graph, models and their tests, under one writer's lock.

    Raises:
        ConfigError: the company's rules are wrong.
        DataError: a model or a test failed; the message names them.
        RefusedError: production would go back in time, or the first stage is missing.
    """
    with writer_lock(settings, "build"):
        opened = continue_build(settings) if stage == "after_ml" else open_build(settings, as_of, known_at)
        failpoint("build.opened")
        args = ["build", "--exclude-resource-type", "unit_test", *SELECTION[stage]]
        result = run_dbt(settings, args, on_line=on_line)
        failpoint("build.built")
        report = close_build(settings, opened, result, stage=stage)
    if not result.success:
        raise DataError(
            f"The build of schema '{settings.schema}' failed: {len(result.failures)} node(s).\n{result.explain()}",
            where=str(settings.dbt_target_dir / "logs" / "dbt.log"),
            todo="mend the data or the model that is named first; nothing was synced; then build again",
        )
    return report
