"""`mailwright check`: the expectations at both borders."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count, plural
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command

FAILED = 3


def check_command(
    ctx: typer.Context,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the expectations on what was loaded and on what would leave.

    Results are stored per load and per build; `sync` refuses unless everything that it reads has passed. Data Docs as
    HTML (personal keys hashed) lie under the home folder. A failure names table, column, expectation, count and keys of
    sample rows.

    [bold]Example[/bold]

      mailwright --target prod check

    [bold]Exit codes[/bold]: 0 all passed · 3 an expectation failed · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline

    out, settings = session.out, session.settings
    reports: dict[str, Any] = {}
    with out.step("Check the loads") as step:
        reports["loads"] = pipeline.check_loads(settings)
        step.note(_note(reports["loads"]))
    if pipeline.was_built(settings):
        with out.step("Check what would leave") as step:
            reports["activation"] = pipeline.check_activation(settings)
            step.note(_note(reports["activation"]))
    failed = sum(report.failed for report in reports.values())
    data = {"ok": failed == 0, **{name: report.to_dict() for name, report in reports.items()}}
    out.result(data, lambda console: render(console, reports, str(settings.data_docs_dir)))
    if failed:
        out.say(f"Error: {plural(failed, 'expectation')} failed; nothing that depends on them is synced.")
        out.say(f"Where: {', '.join(_failed_subjects(reports))}")
        out.say(
            "What to do: correct the source and load it again (a bad load is taken out by `mailwright load --withdraw "
            "LOAD`), or mend the model; then build and check again"
        )
        raise typer.Exit(FAILED)


def _failed_subjects(reports: dict[str, Any]) -> list[str]:
    """`raw.shop_orders (load_…)`: what `--withdraw` needs to know."""
    runs = [run for report in reports.values() for run in report.runs if not run.success]
    return [f"{'raw.' * (run.subject_kind == 'load')}{run.table_name} ({run.subject_id})" for run in runs]


def _note(report: Any) -> str:
    if not report.runs:
        return "nothing new to check"
    return f"{count(report.passed)} passed" + (f", {count(report.failed)} failed" if report.failed else "")


def render(console: Console, reports: dict[str, Any], docs: str) -> None:
    unmet = [result for report in reports.values() for result in report.to_dict()["unmet"]]
    if unmet:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in ("table", "column", "expectation", "found", "rows", "sample row keys"):
            table.add_column(name, overflow="fold")
        for item in unmet:
            table.add_row(
                Text(item["table_name"]),
                Text(item["column_name"] or ""),
                Text(item["expectation"]),
                Text(item["message"] or item["severity"]),
                count(item["unexpected_count"]),
                Text(", ".join(item["sample_row_keys"][:5])),
            )
        console.print(table)
    passed = sum(report.passed for report in reports.values())
    warnings = sum(report.warnings for report in reports.values())
    console.print(
        f"{count(passed)} expectations passed" + (f", {warnings} of them with a warning." if warnings else ".")
    )
    if any(report.runs for report in reports.values()):
        console.print(f"Data Docs: {docs}/index.html", soft_wrap=True, style="dim")


def register(app: typer.Typer) -> None:
    add_command(app, "check", check_command)
