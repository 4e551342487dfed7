"""`mailwright backup` and `mailwright restore`: what no rebuild brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import count
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command


def backup_command(
    ctx: typer.Context,
    destination: Annotated[Path, typer.Argument(help="A new folder; it is complete, or not there.", metavar="DEST")],
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what cannot be rebuilt into a folder: raw data, ledger, checks, histories, models.

    Parquet files with a manifest of row counts and checksums; any tool can read them. Models in SQL are not in it:
    `mailwright build` makes them again. The folder holds personal data: keep it as safe as the warehouse.

    [bold]Example[/bold]

      mailwright --target prod backup /backups/2026-07-01

    [bold]Exit codes[/bold]: 0 written · 3 no warehouse · 4 the folder exists · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from warehouse.backup import backup

    with session.out.step("Back up") as step:
        report = backup(session.settings, destination.absolute())
        step.note(f"{count(report.n_tables)} tables, {count(report.n_rows)} rows")
    session.out.result(
        report.to_dict(), lambda console: console.print(f"Backup written: {report.path}", soft_wrap=True)
    )


def restore_command(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="A folder that `mailwright backup` wrote.", metavar="SRC")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the warehouse that is there.")
    ] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back. Every file is checked first; the warehouse is replaced in one step or not at all.

    [bold]Examples[/bold]

      mailwright --home /srv/mailwright restore /backups/2026-07-01
      mailwright restore /backups/2026-07-01 --replace

    [bold]Exit codes[/bold]: 0 restored · 3 not a backup, or damaged · 4 there is a warehouse already (see --replace)
    """
    session = open_session(ctx, home, target, as_json)
    from warehouse.backup import restore

    with session.out.step("Restore") as step:
        report = restore(session.settings, source.absolute(), replace=replace)
        step.note(f"{count(report.n_tables)} tables, {count(report.n_rows)} rows")
    session.out.result(
        report.to_dict(),
        lambda console: console.print("Restored. Next: [bold]mailwright build[/bold] makes the models again."),
    )


def register(app: typer.Typer) -> None:
    add_command(app, "backup", backup_command)
    add_command(app, "restore", restore_command)
