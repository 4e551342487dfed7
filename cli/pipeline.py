"""The steps of the main job as plain functions: read → call one room → return its report.

The commands, the demo and the tests put them together; orchestration has its own, thinner ones. Heavy imports happen
inside, so that `mailwright --help` is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warehouse.errors import ConfigError, DataError
from warehouse.settings import Settings

if TYPE_CHECKING:
    from expectations.report import CheckReport
    from ingest.normalize import NormalizeReport
    from ingest.report import LoadReport
    from ingest.withdraw import WithdrawReport
    from ml_jobs.report import JobReport
    from reverse_etl.plan import Plan
    from reverse_etl.pull import PullReport
    from reverse_etl.report import SyncReport
    from reverse_etl.scaffold import Draft
    from warehouse.build import BuildReport, Stage
    from warehouse.rules_report import RulesReport

OnLine = Callable[[str], None] | None


def load_files(settings: Settings, path: Path, table: str | None = None, *, on_line: OnLine = None) -> LoadReport:
    """Bring files into `raw.*`; files that were loaded before are skipped."""
    from ingest.load import load
    from ingest.report import LoadedFile, SkippedFile

    def tell(done: LoadedFile | SkippedFile) -> None:
        if on_line:
            rows = f"{done.rows_loaded:,} rows" if isinstance(done, LoadedFile) else done.reason
            on_line(f"{done.table}: {rows}")

    return load(settings, path, table, tell)


def withdraw_load(settings: Settings, load_id: str) -> WithdrawReport:
    """Take a load out of `raw.*` again."""
    from ingest.withdraw import withdraw

    return withdraw(settings, load_id)


def load_note(report: LoadReport) -> str:
    """One short line on what a load did."""
    parts = [f"{report.rows_loaded:,} rows"] if report.loads else []
    if report.rows_quarantined:
        parts.append(f"{report.rows_quarantined:,} quarantined")
    if report.skipped:
        parts.append(f"{len(report.skipped)} unchanged file{'s' * (len(report.skipped) != 1)} skipped")
    return ", ".join(parts)


def check_loads(settings: Settings) -> CheckReport:
    """Expectations on every load that has not passed them yet."""
    from expectations.runner import check_loads as run

    return run(settings)


def check_activation(settings: Settings) -> CheckReport:
    """Expectations on what would leave: the activation models of the newest build."""
    from expectations.runner import check_activation as run

    return run(settings)


def was_built(settings: Settings) -> bool:
    """Whether this schema has a build that came to its end."""
    from warehouse.connection import connect
    from warehouse.state import ensure_state

    with connect(settings, purpose="check") as con:
        ensure_state(con, settings)
        return bool(
            con.execute(
                "select 1 from ops.builds where schema_name = ? and status = 'succeeded' limit 1", [settings.schema]
            ).fetchall()
        )


def pin(settings: Settings, as_of: datetime) -> datetime:
    """Let the clock of this installation stand at the end of its data."""
    from warehouse.build import pin_clock

    pin_clock(settings, as_of)
    return as_of


def assert_loaded(settings: Settings) -> None:
    """Refuse to build on nothing.

    Raises:
        DataError: no raw table holds a row.
    """
    from ingest.contracts import declared_contracts, has_rows, raw_schema, sources_path
    from warehouse.connection import connect

    schema = raw_schema(settings)
    with connect(settings, purpose="build") as con:
        if not has_rows(con, schema, declared_contracts(sources_path(settings))):
            raise DataError(
                f"Nothing was loaded yet: no table of schema '{schema}' holds a row.",
                where=str(settings.warehouse_path),
                todo="run `mailwright load PATH`; where another loader fills the warehouse, name its schema in `vars: "
                "raw_schema` of dbt_project/dbt_project.yml",
            )


def normalize(settings: Settings) -> NormalizeReport:
    """Normalize e-mails and phones that were not seen before."""
    from ingest.normalize import normalize_identifiers

    return normalize_identifiers(settings)


def normalize_note(report: NormalizeReport) -> str:
    """One short line; an address that is not valid reaches no model, so their number is never left out."""
    parts = [(report.n_invalid, "not valid"), (report.n_disposable, "disposable")]
    found = [f"{count:,} {what}" for count, what in parts if count]
    return f"{report.n_new:,} new" + (f", of them {' and '.join(found)}" if found else "")


def build_models(
    settings: Settings, stage: Stage = "all", *, as_of: datetime | None = None, on_line: OnLine = None
) -> BuildReport:
    """Build and test the models of one stage."""
    from warehouse.build import build

    return build(settings, stage, as_of, on_line=on_line)


def rules_of(settings: Settings) -> RulesReport:
    """What the company's rules were in the newest build, beside its catalogue."""
    from warehouse.connection import connect
    from warehouse.rules_report import report_built_rules

    with connect(settings, read_only=True, purpose="rules") as con:
        return report_built_rules(con, settings)


def train(settings: Settings, job: str, *, on_line: OnLine = None) -> JobReport:
    """Train, evaluate and score one model."""
    from ml_jobs.catalogue import job_named
    from ml_jobs.job import run

    return run(job_named(job), settings, on_line)


def sync_named(settings: Settings, name: str | None) -> str:
    """The sync that is meant: the named one, else the only one that this installation runs."""
    from reverse_etl.declaration import only_sync

    return name or only_sync(settings)


def declare_sync(
    settings: Settings, name: str, *, kind: str, model: str, account: str, dry_run: bool
) -> tuple[Draft, Path | None]:
    """A new declaration, and where it was written (unless `dry_run`)."""
    from reverse_etl.connect import open_account
    from reverse_etl.declaration import check_name, own_folder
    from reverse_etl.scaffold import columns_of, draft, write
    from warehouse.connection import connect

    try:
        check_name(name)
    except ValueError as error:
        raise ConfigError(f"'{name[:80]}' cannot be: {error}.", todo="choose another name") from None

    with connect(settings, read_only=True, purpose="sync new") as con:
        columns = columns_of(con, settings.schema, model)
        relations = {
            row[0]
            for row in con.execute(
                "select table_name from information_schema.tables where table_schema = ?", [settings.schema]
            ).fetchall()
        }
    destination = open_account(kind, account)
    try:
        made = draft(name, kind, model, destination, columns, relations, account=account)
    finally:
        destination.close()
    return made, None if dry_run else write(made, own_folder(settings))


def plan_sync(
    settings: Settings,
    name: str,
    *,
    allow_schema: str | None = None,
    overrides: Collection[str] = (),
    on_line: OnLine = None,
) -> Plan:
    """What a sync would do, without doing it; a check that stands in the way is noted in it."""
    from expectations.gate import assert_checked
    from reverse_etl.runner import plan

    return plan(
        settings,
        name,
        gate=assert_checked,
        allow_schema=allow_schema,
        overrides=overrides,
        on_progress=_counted(on_line),
    )


def apply_sync(
    settings: Settings,
    name: str,
    *,
    plan: Plan | None = None,
    dry_run: bool = False,
    allow_schema: str | None = None,
    overrides: Collection[str] = (),
    on_line: OnLine = None,
) -> SyncReport:
    """Send the difference to the destination and confirm it; refuses unless every check of what it reads passed."""
    from expectations.gate import assert_checked
    from reverse_etl.runner import sync

    return sync(
        settings,
        name,
        gate=assert_checked,
        plan=plan,
        dry_run=dry_run,
        allow_schema=allow_schema,
        overrides=overrides,
        on_progress=_counted(on_line),
    )


def sample_plan(settings: Settings, plan: Plan, n: int) -> list[dict[str, Any]]:
    """Some people of a plan that was just made, before and after."""
    from reverse_etl.sample import sample

    return [person.to_dict() for person in sample(settings, plan, n)]


def audit_sync(
    settings: Settings, name: str, *, sample: int | None, repair: bool, on_line: OnLine = None
) -> dict[str, Any]:
    """What was read back and how much of it is not as confirmed."""
    from reverse_etl.audit import audit

    return audit(settings, name, sample=sample, repair=repair, on_progress=_counted(on_line)).to_dict()


def rebaseline_sync(
    settings: Settings,
    name: str,
    *,
    objects: Collection[str],
    allow_schema: str | None = None,
    on_line: OnLine = None,
) -> int:
    """Records that were taken as given, without sending anything."""
    from reverse_etl.repair import rebaseline

    _, n = rebaseline(settings, name, objects=objects, allow_schema=allow_schema, on_progress=_counted(on_line))
    return n


def _counted(on_line: OnLine) -> Callable[[str, int, int], None] | None:
    if on_line is None:
        return None
    return lambda what, done, of: on_line(f"{what}: {done} of {of}" if of > 1 else what)


def pull_engagement(
    settings: Settings, name: str, *, since: datetime | None = None, on_line: OnLine = None
) -> PullReport:
    """What people did with their mail, from the destination of a sync into `raw.*`."""
    from ingest.load import load_pulled
    from reverse_etl.pull import pull

    return pull(settings, name, load=load_pulled, since=since, on_progress=on_line)


def publish(settings: Settings) -> Path:
    """Put the read-only snapshot beside the warehouse."""
    from warehouse.snapshot import publish_snapshot

    publish_snapshot(settings)
    return settings.snapshot_path


def load_truth(settings: Settings, folder: Path) -> int:
    """What the generator planted, into schema `truth`, for tests alone. Returns the number of tables.

    The files are read as they are: this is no source of anything.
    """
    from warehouse.connection import connect

    files = sorted((folder / "truth").glob("*.parquet"))
    if not files:
        return 0
    with connect(settings, purpose="load truth") as con:
        con.execute("create schema if not exists truth")
        for file in files:
            if not file.stem.isidentifier():
                raise DataError("A file of planted truth has no plain name.", where=str(file), todo="generate anew")
            con.execute(f'create or replace table truth."{file.stem}" as select * from read_parquet(?)', [str(file)])
    return len(files)
