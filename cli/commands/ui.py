"""`mailwright ui`: Dagster's web UI on this installation."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.session import HomeOption, JsonOption, TargetOption, demo_if_alone, open_session
from cli.teach import add_command
from warehouse.errors import ConfigError, RefusedError
from warehouse.settings import Settings

LOOPBACK = "127.0.0.1"


def ui_command(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command instead of starting it.")] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the asset graph, runs, checks and schedules in a browser (Dagster), on this machine alone.

    Serves the installation of --home; where that has no warehouse yet but the demo has, the demo's. Ends with Ctrl-C.

    [bold]Example[/bold]

      mailwright ui --port 3001

    [bold]Exit codes[/bold]: 0 ended · 2 Dagster is not installed · 4 the port is taken
    """
    session = open_session(ctx, home, target, as_json)
    settings = session.settings if session.home_given else demo_if_alone(session.settings)
    command = [_dagster(), "dev", "-m", "orchestration.definitions", "-h", LOOPBACK, "-p", str(port)]
    environment = ui_environment(settings)
    if dry_run:
        shown = {"command": command, "dagster_home": environment["DAGSTER_HOME"], "home": str(settings.home)}
        session.out.result(shown, lambda console: console.print(" ".join(command), soft_wrap=True))
        return
    with socket.socket() as probe:
        if probe.connect_ex((LOOPBACK, port)) == 0:
            raise RefusedError(
                f"Port {port} is taken.", where=LOOPBACK, todo="name another one: `mailwright ui --port 3001`"
            )
    session.out.say(
        f"Dagster on http://{LOOPBACK}:{port} for {settings.home} (schema {settings.schema}). Ctrl-C ends it."
    )
    os.chdir(settings.project_dir)
    # a shell starts background jobs with SIGINT ignored, and Dagster would then ignore SIGTERM too
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execve(command[0], command, environment)  # noqa: S606  # our own arguments


def ui_environment(settings: Settings) -> dict[str, str]:
    """Environment under which every Dagster process works on just this installation."""
    from orchestration.home import dagster_environment

    # MAILWRIGHT_HOME and _TARGET of the shell must not outlive the choice made here
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILWRIGHT_")}
    limits = {"MAILWRIGHT_THREADS": str(settings.threads), "MAILWRIGHT_MEMORY_LIMIT": settings.memory_limit}
    return {**kept, **limits, **dagster_environment(settings), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def _dagster() -> str:
    path = Path(sys.executable).parent / "dagster"
    if not path.exists():
        raise ConfigError(
            "Dagster is not installed in this environment.", where=str(path.parent), todo="run `make setup`"
        )
    return str(path)


def register(app: typer.Typer) -> None:
    add_command(app, "ui", ui_command)
