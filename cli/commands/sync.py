"""`mailwright plan` and `mailwright sync`: the difference to the ESP, shown and sent."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count
from cli.redact import redact
from cli.report.sync_view import latency_text
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command
from warehouse.errors import RefusedError, RetriableError

SyncArgument = Annotated[str, typer.Argument(metavar="[SYNC]", help="Name of a declared sync.")]
PastOption = Annotated[str | None, typer.Option("--as-of", hidden=True)]
"""Not offered, but understood: whoever tries it is told why not."""
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
    as_of: PastOption = None,
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

    _refuse_the_past(session.settings.schema, allow_schema)
    with session.out.step("Plan") as step:
        plan = pipeline.plan_sync(session.settings, sync, **_options(allow_schema, override), on_line=step.detail)
    data = plan.to_dict()
    session.out.result(data, lambda console: render(console, data))


def sync_command(
    ctx: typer.Context,
    sync: SyncArgument = "mailchimp",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Everything but the writing: the same as `plan`.")] = False,
    as_of: PastOption = None,
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
    _refuse_the_past(session.settings.schema, allow_schema)
    from cli import pipeline

    with session.out.step("Plan" if dry_run else "Sync") as step:
        report = pipeline.apply_sync(
            session.settings, sync, dry_run=dry_run, **_options(allow_schema, override), on_line=step.detail
        )
    data = report.to_dict()
    session.out.result(data, lambda console: render(console, data))
    if not report.is_complete:
        session.out.say(
            "Incomplete: some records are in doubt or were turned away for now. Run the same command again."
        )
        raise typer.Exit(RetriableError.exit_code)


def _refuse_the_past(*schemas: str | None) -> None:
    for schema in schemas:
        if schema is not None and schema.startswith("asof_"):
            raise RefusedError(
                f"Schema '{schema}' is a look at the past: it is never synced.",
                todo="look at its tables, such as sync_mailchimp__members; what is synced is built without --as-of",
            )


def _options(allow_schema: str | None, override: list[str] | None) -> dict[str, Any]:
    return {"allow_schema": allow_schema, "overrides": tuple(override or ())}


_COUNTS = (
    ("created", "people created"),
    ("updated", "people updated"),
    ("lowered", "subscriptions ended"),
    ("cleared", "people whose fields are emptied"),
    ("entering", "segment entries"),
    ("leaving", "segment exits"),
    ("unchanged", "people unchanged"),
    ("in_doubt", "in doubt: the next sync settles them"),
    ("requests", "requests"),
    ("writes", "of them writing"),
)


def render(console: Console, data: dict[str, Any]) -> None:
    """Counts, then what stays behind and why, then what a guard or a check says."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    for key, name in _COUNTS:
        if data.get(key) or (key in data and key not in {"in_doubt", "cleared", "lowered"}):
            table.add_row(count(data[key]), name)
    console.print(table)
    for title in ("blocked", "rejected", "held"):
        for reason, number in sorted((data.get(title) or {}).items(), key=lambda item: -item[1]):
            console.print(Text(f"{title} {count(number)}: {reason.replace('_', ' ')}", style="dim"))
    for guard in data.get("guards") or ():
        console.print(Text(f"Guard {guard['name']}: {guard['message']}", style="yellow"))
    for note in data.get("notes") or ():
        console.print(Text(redact(note)))
    if "estimated_minutes" in data:
        console.print(Text(f"At the vendor's limits: about {data['estimated_minutes']:g} minutes.", style="dim"))
    if data.get("latency_seconds") is not None:
        console.print(Text(f"Event to ESP: {latency_text(data)} since the newest load.", style="dim"))


def register(app: typer.Typer) -> None:
    add_command(app, "plan", plan_command)
    add_command(app, "sync", sync_command)
