"""What every command starts from: the options that all share, the settings they give, and where to write."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.output import Output
from warehouse.clock import parse_instant
from warehouse.settings import Settings, load_settings

Target = Literal["dev", "prod"]
PANEL = "Options of every command"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder of this installation's state (default: MAILWRIGHT_HOME, else .mailwright in the project).",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
TargetOption = Annotated[
    Target | None,
    typer.Option(
        "--target",
        help="dev builds into a schema of your own, prod into 'analytics' (default: MAILWRIGHT_TARGET, else dev).",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One JSON document on stdout and nothing else there; progress goes to stderr.",
        rich_help_panel=PANEL,
    ),
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="INSTANT", help="Work on the past build of this instant (UTC)."),
]


@dataclass(frozen=True)
class GlobalOptions:
    """Given before the command's name; an option after it wins."""

    home: Path | None = None
    target: Target | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Session:
    """One invocation."""

    settings: Settings
    out: Output
    home_given: bool


_current: Session | None = None
"""The session of this process, for `cli.main`, which must know where errors go."""


def current_session() -> Session | None:
    return _current


def forget_session() -> None:
    global _current
    _current = None


def open_session(
    ctx: typer.Context,
    home: Path | None = None,
    target: Target | None = None,
    as_json: bool = False,
    *,
    as_of: str | None = None,
) -> Session:
    """Settings from the options (after the command, before it, then the environment) and an output.

    Raises:
        ConfigError: a setting is wrong. DataError: `as_of` is not an instant.
    """
    global _current
    given = ctx.obj if isinstance(ctx.obj, GlobalOptions) else GlobalOptions()
    home = home or given.home
    settings = load_settings(home=home, target=target or given.target)
    if as_of is not None:
        from warehouse.build import settings_as_of

        settings = settings_as_of(settings, parse_instant(as_of))
    as_json = as_json or given.as_json
    _current = Session(settings, Output(as_json=as_json), home is not None)
    if as_json:
        # whatever a library prints must not get between a machine and the document; `cli.main` puts it back
        sys.stdout = sys.stderr
    return _current


def demo_if_alone(settings: Settings) -> Settings:
    """The demo's installation, if there is nothing else to look at."""
    demo_home = settings.home / "demo"
    if not settings.warehouse_path.exists() and (demo_home / "warehouse.duckdb").exists():
        return load_settings(home=demo_home, target="prod")
    return settings
