"""`mailwright sync new`: a first declaration of a sync."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.output import count
from cli.session import HomeOption, JsonOption, TargetOption, open_session


def new_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new sync.")],
    kind: Annotated[
        str | None, typer.Option("--destination", metavar="KIND", help="Kind of ESP; default: the name of the sync.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Activation model with one row per person.")
    ] = "sync_esp__members",
    account: Annotated[
        str,
        typer.Option(
            "--account", metavar="PREFIX", help="Start of the variables with its credentials, if not the kind."
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and write no file.")] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare a sync: a YAML file in <home>/syncs, from the columns of a model and the fields that the ESP has.

    Columns go to fields that are called like them, and to new fields of ours for the rest. Reads the warehouse and the
    ESP, writes nothing to either; look through the file, then `mailwright plan`.

    [bold]Examples[/bold]

      mailwright --target prod sync new klaviyo
      mailwright --target prod sync new newsletter_uk --destination mailchimp --account MAILCHIMP_UK
      mailwright --target prod sync new hubspot --model sync_hubspot__members --dry-run

    [bold]Exit codes[/bold]: 0 written · 2 no credentials · 3 no such model · 4 exists · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline

    with session.out.step("Look at model and ESP"):
        made, path = pipeline.declare_sync(
            session.settings, name, kind=kind or name, model=model, account=account, dry_run=dry_run
        )
    data = {
        "sync": name,
        "path": path,
        "text": made.text,
        "fields": [{"column": c, "field": spec.key, "is_there": is_there} for c, spec, is_there in made.fields],
    }

    def show(console: Console) -> None:
        if path is None:
            console.print(made.text, markup=False, highlight=False, soft_wrap=True, end="")
            return
        new = sum(not is_there for _, _, is_there in made.fields)
        there = len(made.fields) - new
        console.print(f"{count(there)} columns go to fields that are there, {count(new)} to new ones.")
        console.print(Text(f"Written: {path}. Look through it, then: mailwright plan {name}"))

    session.out.result(data, show)
