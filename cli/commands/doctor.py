"""`mailwright doctor`: is this installation sound?"""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.doctor import Finding
from cli.output import plural
from cli.redact import redact
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}


def doctor_command(
    ctx: typer.Context,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Examine this installation: versions, paths, disk, lock, warehouse, dbt, rules, credentials, telemetry.

    Looks and repairs nothing; waits for no lock; prints no secret. Each line says what to do if something is wrong.

    [bold]Example[/bold]

      mailwright doctor --json | jq '.findings[] | select(.level != "ok")'

    [bold]Exit codes[/bold]: 0 sound (warnings allowed) · 1 something is broken
    """
    session = open_session(ctx, home, target, as_json)
    from cli.doctor import examine

    findings = examine(session.settings)
    broken = sum(finding.level == "fail" for finding in findings)
    data = {
        "ok": broken == 0,
        "findings": [
            {key: redact(value) if value else value for key, value in asdict(finding).items()} for finding in findings
        ],
    }
    session.out.result(data, lambda console: render(console, findings))
    if broken:
        raise typer.Exit(1)


def render(console: Console, findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        mark, style = MARKS[finding.level]
        message = Text(redact(finding.message))
        if finding.todo:
            message.append(f"\n→ {redact(finding.todo)}", style="dim")
        table.add_row(Text(mark, style=style), Text(finding.subject, style="bold"), message)
    console.print(table)
    broken = sum(finding.level == "fail" for finding in findings)
    warnings = sum(finding.level == "warn" for finding in findings)
    verdict = f"{plural(broken, 'thing')} broken" if broken else "Sound"
    console.print(verdict + (f", {plural(warnings, 'warning')}" if warnings else "") + ".")


def register(app: typer.Typer) -> None:
    add_command(app, "doctor", doctor_command)
