"""`mailwright pull`: what people did with their mail, from the ESP into `raw.*`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.output import count, plural
from cli.redact import redact
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command
from warehouse.clock import parse_instant


def pull_command(
    ctx: typer.Context,
    sync: Annotated[
        str | None,
        typer.Argument(
            metavar="[SYNC]",
            help="Name of a declared sync, whose account is asked; may be left out where there is one alone.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="INSTANT", help="Read again from here on (UTC); what is new is read anyway.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Bring in what people did with their mail: opens, clicks, bounces, unsubscribes, complaints.

    Asks the ESP for what is new since the last pull, and a day before that for what came late, and loads it into
    `raw.email_events`. Events that are there already, from an earlier pull or a webhook with the same key, are left
    out. What each ESP tells this way, and what it does not: docs/syncs.md, "What comes back". Credentials come from the
    environment, as for `mailwright sync`.

    [bold]Examples[/bold]

      mailwright --target prod pull klaviyo
      mailwright --target prod pull hubspot --since 2026-01-01

    [bold]Exit codes[/bold]: 0 pulled, or nothing new · 2 unknown name, wrong key · 3 rows cannot be loaded ·
    4 another pull is under way · 5 ESP unreachable, or warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline

    start = None if since is None else parse_instant(since)
    name = pipeline.sync_named(session.settings, sync)
    with session.out.step(f"Pull {name}") as step:
        report = pipeline.pull_engagement(session.settings, name, since=start, on_line=step.detail)
        step.note(plural(report.n_new, "new event"))
    data = report.to_dict()
    session.out.result(data, lambda console: render_pull(console, data))


def render_pull(console: Console, data: dict[str, Any]) -> None:
    """How many of each type; what was put aside; up to when."""
    if data["new"]:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("event")
        table.add_column("new", justify="right")
        for kind, number in data["new"].items():
            table.add_row(kind, count(number))
        console.print(table)
    cursor = data["cursor"]
    console.print(f"{data['destination']}: {plural(data['n_new'], 'new event')}, read up to {cursor or 'nothing yet'}.")
    for kind, number in data["rejected"].items():
        console.print(f"[yellow]Could not be read[/yellow]: {count(number)} ({redact(kind)})")
    if data["quarantined"]:
        console.print(f"[yellow]Quarantined[/yellow]: {plural(data['quarantined'], 'row')}, see raw.quarantine.")
    if data["unaddressed"]:
        console.print(f"[yellow]Without an address[/yellow]: {count(data['unaddressed'])}; they count for nobody.")
    if data["n_new"]:
        console.print("Next: [bold]mailwright build[/bold]")


def register(app: typer.Typer) -> None:
    add_command(app, "pull", pull_command)
