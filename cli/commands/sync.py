"""`mailwright plan` and `mailwright sync`: the difference to the ESP, shown and sent."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count
from cli.session import AsOfOption, HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command

SyncArgument = Annotated[str, typer.Argument(metavar="[SYNC]", help="Name of a declared sync.")]
AllowSchemaOption = Annotated[
    str | None,
    typer.Option("--allow-schema", metavar="SCHEMA", help="Sync from this schema although it is not production."),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="GUARD", help="Apply although this guard says no; may be given again."),
]


def plan_command(
    ctx: typer.Context,
    sync: SyncArgument = "mailchimp",
    as_of: AsOfOption = None,
    allow_schema: AllowSchemaOption = None,
    override: OverrideOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a sync would do: created, updated, entering, leaving, blocked and why. Writes nothing to the ESP.

    Reads the ESP (its members and our segments there) and compares with what is confirmed in the ledger.

    [bold]Examples[/bold]

      mailwright --target prod plan
      mailwright --target prod plan mailchimp --json

    [bold]Exit codes[/bold]: 0 shown · 2 unknown sync, wrong key · 4 a check failed, or a guard · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    from cli import pipeline

    with session.out.step("Plan") as step:
        plan = pipeline.plan_sync(session.settings, sync, **_options(allow_schema, override), on_line=step.detail)
    data = plan.to_dict()
    session.out.result(data, lambda console: render(console, data))


def sync_command(
    ctx: typer.Context,
    sync: SyncArgument = "mailchimp",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Everything but the writing: the same as `plan`.")] = False,
    as_of: AsOfOption = None,
    allow_schema: AllowSchemaOption = None,
    override: OverrideOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the difference to the ESP and confirm it.

    Refuses unless every check of what it reads has passed, and unless the schema is production. A sync that was killed
    is simply run again: nothing that was confirmed is sent twice. Credentials come from the environment
    (MAILCHIMP_API_KEY, MAILCHIMP_LIST_ID).

    [bold]Examples[/bold]

      mailwright --target prod sync --dry-run
      mailwright --target prod sync mailchimp

    [bold]Exit codes[/bold]: 0 confirmed, or nothing to do · 2 unknown sync, wrong key · 4 refused · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    from cli import pipeline

    with session.out.step("Plan" if dry_run else "Sync") as step:
        report = pipeline.apply_sync(
            session.settings, sync, dry_run=dry_run, **_options(allow_schema, override), on_line=step.detail
        )
    data = report.to_dict()
    session.out.result(data, lambda console: render(console, data))


def _options(allow_schema: str | None, override: list[str] | None) -> dict[str, Any]:
    return {"allow_schema": allow_schema, "overrides": tuple(override or ())}


def render(console: Console, data: dict[str, Any]) -> None:
    """Counts by name, then the reasons of what is not sent."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in data.items():
        if isinstance(value, int) and not isinstance(value, bool):
            table.add_row(name.replace("_", " "), count(value))
    console.print(table)
    for reason, number in sorted((data.get("blocked") or {}).items(), key=lambda item: -item[1]):
        console.print(Text(f"blocked {count(number)}: {reason.replace('_', ' ')}"))


def register(app: typer.Typer) -> None:
    add_command(app, "plan", plan_command)
    add_command(app, "sync", sync_command)
