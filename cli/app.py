"""The commands and their order in `mailwright --help`. Each family is one module in `cli.commands`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import typer

from cli.commands import backup, build, check, demo, doctor, identity, load, pull, segment, status, sync, twin, ui
from cli.session import GlobalOptions, HomeOption, JsonOption, TargetOption

app = typer.Typer(
    name="mailwright",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Turn a warehouse into an e-mail personalization system.\n\n"
        "Profiles, RFM and lifecycle, segments, recommendations and predictions are tables; the marketer finds them "
        "as tags and fields in the e-mail service provider (ESP) that is in use already.\n\n"
        "[bold]Start here[/bold]: `mailwright demo` (a simulated store, a simulated ESP, nothing leaves this machine). "
        "With your own data: `load` → `build` → `train` → `build` → `check` → `plan` → `sync`."
    ),
    epilog=(
        "Exit codes: 0 done · 1 unexpected · 2 usage, settings or credentials · 3 data · 4 refused by a guard · "
        "5 busy or unreachable, may be repeated · 130 interrupted"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"mailwright {version('mailwright')}")
        except PackageNotFoundError:
            typer.echo("mailwright (not installed: run `make setup`)")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
    show_version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Options that may stand before or after a command's name."""
    ctx.obj = GlobalOptions(home, target, as_json)


for family in (demo, load, build, check, sync, pull, status, segment, identity, doctor, backup, ui, twin):
    family.register(app)
