"""`mailwright build` and `mailwright train`: the models in SQL, and those that SQL cannot fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from cli.output import count, plural
from cli.session import AsOfOption, HomeOption, JsonOption, Session, TargetOption, open_session
from cli.teach import add_command
from ml_jobs.catalogue import JOBS, JobName
from warehouse.clock import parse_instant
from warehouse.errors import ConfigError

if TYPE_CHECKING:
    from ml_jobs.report import JobReport
    from warehouse.build import BuildReport

StageName = Literal["all", "before_ml", "after_ml"]


def build_command(
    ctx: typer.Context,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="INSTANT",
            help="Build the past: as of this date or instant (UTC), in a schema of its own.",
        ),
    ] = None,
    stage: Annotated[
        StageName, typer.Option("--stage", help="Half of the graph: before or after the predictions.")
    ] = "all",
    train: Annotated[
        bool, typer.Option("--train", help="Train and score in the middle: the whole graph anew.")
    ] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Normalize identifiers, then build and test every model.

    A model or test that fails stops what depends on it and ends with exit code 3; nothing is ever synced from a failed
    build. With --as-of, nothing later than that instant is read, and the result lies in a schema named after it
    (`asof_20110901`), which can be looked at and never synced.

    [bold]Examples[/bold]

      mailwright build                                  your own schema (target dev)
      mailwright --target prod build --train            production, with models trained anew
      mailwright build --as-of 2011-09-01               what was known on that day

    [bold]Exit codes[/bold]: 0 built, all tests passed · 3 a model or test failed · 4 production would go back in time
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    if train and stage != "all":
        raise ConfigError("--train goes through the whole graph; --stage names half of it.", todo="give one of them")
    from cli import pipeline

    out, settings = session.out, session.settings
    instant = parse_instant(as_of) if as_of else None
    pipeline.assert_loaded(settings)
    with out.step("Normalize e-mails and phones") as step:
        normalized = pipeline.normalize(settings)
        step.note(pipeline.normalize_note(normalized))
    jobs: list[JobReport] = []
    if train:
        with out.step("Build up to the features") as step:
            pipeline.build_models(settings, "before_ml", as_of=instant, on_line=step.detail)
        jobs = _train(session, JOBS)
        stage = "after_ml"
    with out.step(f"Build schema {settings.schema}") as step:
        report = pipeline.build_models(settings, stage, as_of=None if train else instant, on_line=step.detail)
        rules = pipeline.rules_of(settings)
        read = f", {plural(rules.n_rules, 'rule')} of recommendation_rules.yml" if rules.n_rules else ""
        step.note(f"{count(report.n_models)} models, {count(report.n_tests)} tests passed{read}")
    if rules.warning:
        out.say(rules.warning)
    data: dict[str, Any] = report.to_dict() | {"rules": rules.to_dict()}
    if jobs:
        data["jobs"] = [job.to_dict() for job in jobs]
    out.result(data, lambda console: render_build(console, report))


def render_build(console: Console, report: BuildReport) -> None:
    console.print(
        f"Schema [bold]{report.schema_name}[/bold], as of [bold]{report.as_of}Z[/bold]: "
        f"{report.n_models} models, {report.n_tests} tests passed ({report.status})."
    )
    if report.schema_name.startswith("asof_"):
        console.print("A look at the past, in a schema of its own; it is never synced.", style="dim")
    elif report.status == "awaiting_ml":
        console.print("Next: [bold]mailwright train[/bold], then [bold]mailwright build --stage after_ml[/bold]")


def train_command(
    ctx: typer.Context,
    job: Annotated[JobName | None, typer.Option("--job", help="Only this one; default: all.")] = None,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train, evaluate on held-out time, and score: recommendations, churn, lifetime value, send times, engagement.

    Reads the built models of the schema and writes predictions with model_version, trained_at and as_of; metrics go to
    `ml.model_runs` beside those of a simple baseline. Run `mailwright build` before (features) and after (what is
    derived from predictions), or use `mailwright build --train`, which does all three.

    [bold]Examples[/bold]

      mailwright --target prod train
      mailwright train --job churn --json

    [bold]Exit codes[/bold]: 0 trained and scored, or skipped with the reason · 3 not enough data, or not built yet
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    jobs = _train(session, (job,) if job else JOBS)
    session.out.result({"jobs": [item.to_dict() for item in jobs]}, lambda console: render_jobs(console, jobs))


def _train(session: Session, names: tuple[JobName, ...]) -> list[JobReport]:
    from cli import pipeline

    reports: list[JobReport] = []
    for name in names:
        with session.out.step(f"Train and score: {name}") as step:
            report = pipeline.train(session.settings, name, on_line=step.detail)
            step.note(report.reason or f"{count(report.n_scored)} profiles scored")
        reports.append(report)
    return reports


def render_jobs(console: Console, jobs: list[JobReport]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("job", "model version", "trained on", "scored"):
        table.add_column(name)
    for item in jobs:
        table.add_row(item.job, item.model_version or (item.reason or "–"), count(item.n_train), count(item.n_scored))
    console.print(table)
    for item in jobs:
        shown = {key: value for key, value in item.metrics.items() if isinstance(value, (int, float))}
        if item.reason or item.decision:
            console.print(f"{item.job}: {item.reason or item.decision}", soft_wrap=True, style="dim")
        if shown:
            numbers = "  ".join(f"{key} {value:.4g}" for key, value in shown.items())
            console.print(f"{item.job}: {numbers}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    add_command(app, "build", build_command)
    add_command(app, "train", train_command)
