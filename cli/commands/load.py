"""`mailwright load`: files into `raw.*`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.output import count, plural
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command
from warehouse.errors import ConfigError

if TYPE_CHECKING:
    from ingest.report import LoadReport


def load_command(
    ctx: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(help="A file, a folder of files, or a manifest (.yml).", show_default=False)
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="Raw table to load into; default: the file's name.")
    ] = None,
    withdraw: Annotated[
        str | None, typer.Option("--withdraw", metavar="LOAD_ID", help="Take a bad load out again instead.")
    ] = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring files into the raw tables, once each.

    Parquet, CSV and JSON lines, plain or compressed. A file that was loaded before (same content) is skipped, so the
    same command may be run as often as you like. Rows that cannot be read go to `raw.quarantine` with file, line and
    reason; a missing or retyped column stops the load before anything is written.

    [bold]Examples[/bold]

      mailwright load exports/                          all files, each into the table of its name
      mailwright load exports/2026-07-01.csv --table shop_orders
      mailwright load exports/load.yml                  a manifest: table, format and policy per file
      mailwright load --withdraw load_01a2…             take a load out that failed its checks

    [bold]Exit codes[/bold]: 0 loaded, or nothing new · 2 wrong manifest · 3 a file cannot be loaded · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline

    if (path is None) == (withdraw is None):
        raise ConfigError("Name what to load, or a load to withdraw.", todo="see `mailwright load --help`")
    if withdraw is not None:
        with session.out.step(f"Withdraw {withdraw}"):
            removed = pipeline.withdraw_load(session.settings, withdraw)
        said = f"{plural(removed.rows, 'row')} of raw.{removed.table} taken out. Next: [bold]mailwright build[/bold]"
        if Path(removed.file_name).name.startswith("pull_"):  # cursors only move forward
            said = (
                f"{said}\nThe ESP is asked for it again by [bold]mailwright pull --since[/bold] an instant before it."
            )
        session.out.result(removed.to_dict(), lambda console: console.print(said))
        return
    assert path is not None
    with session.out.step(f"Load {path.name or path}") as step:
        report = pipeline.load_files(session.settings, path, table, on_line=step.detail)
        step.note(pipeline.load_note(report))
    session.out.result(report.to_dict(), lambda console: render_load(console, report))


def render_load(console: Console, report: LoadReport) -> None:
    """One row per file."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (("file", "left"), ("table", "left"), ("rows", "right"), ("quarantined", "right")):
        table.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    for item in report.loads:
        table.add_row(item.file_name, f"raw.{item.table}", count(item.rows_loaded), count(item.rows_quarantined))
    if report.loads:
        console.print(table)
    if report.skipped:
        console.print(f"{plural(len(report.skipped), 'file')} skipped: loaded before, unchanged.")
    console.print("Next: [bold]mailwright build[/bold]" if report.loads else "Nothing new.")


def register(app: typer.Typer) -> None:
    add_command(app, "load", load_command)
