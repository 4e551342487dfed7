"""`mailwright twin`: the simulated ESPs of the demo, to look at once more."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command
from warehouse.errors import ConfigError, DataError, RetriableError

if TYPE_CHECKING:
    from rich.console import Console

    from cli.twin import Twin

LOOK_SECONDS = 1.0
"""How often it is looked whether a twin still runs."""


def twin_command(
    ctx: typer.Context,
    vendor: Annotated[
        str | None,
        typer.Argument(
            help="mailchimp, klaviyo, sendgrid or hubspot (default: all that the demo filled).", show_default=False
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1, for one vendor (0: any that is free).")
    ] = 0,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open the demo's simulated ESPs again and show, in a browser, what they hold: people, lists, segments, fields, and
    what was asked of them. On this machine alone; nothing is sent. Ends with Ctrl-C.

    [bold]Examples[/bold]

      mailwright twin                  all of them
      mailwright twin klaviyo          one

    [bold]Exit codes[/bold]: 0 ended · 2 no such vendor · 3 there is nothing to look at · 5 it did not start
    """
    session = open_session(ctx, home, target, as_json)
    from cli.twin import VENDORS, start_twin, state_path

    home = session.settings.home
    folder = home if session.home_given else _filled_home(home)
    if vendor is not None and vendor not in VENDORS:
        raise ConfigError(f"No twin is called {vendor!r}.", where="VENDOR", todo=f"name one of {', '.join(VENDORS)}")
    asked = list(VENDORS) if vendor is None else [vendor]
    filled = [name for name in asked if state_path(folder, name).exists()]
    if not filled:
        raise DataError(
            "No simulated ESP was filled here."
            if vendor is None
            else f"No simulated {VENDORS[vendor].label} was filled here.",
            where=str(folder / "esp"),
            todo="run `mailwright demo` first, or name the demo's folder with --home",
        )
    if port and len(filled) > 1:
        raise ConfigError("--port is for one vendor.", where="--port", todo=f"name one of {', '.join(filled)}")
    with ExitStack() as stack:
        twins: list[Twin] = []
        for name in filled:
            log = folder / "logs" / f"twin-{name}.log"
            twins.append(stack.enter_context(start_twin(name, state_path(folder, name), log, port=port)))

        def show(console: Console) -> None:
            for twin in twins:
                console.print(f"Simulated {twin.label}: {twin.page}", soft_wrap=True)

        session.out.result({"twins": {twin.vendor: twin.page for twin in twins}}, show)
        try:
            session.out.say("Ctrl-C ends it.")  # and may come as soon as this is read
            _wait(twins, folder)
        except KeyboardInterrupt:
            session.out.say("Ended.")


def _filled_home(home: Path) -> Path:
    """The demo's, unless this one has simulated ESPs of its own."""
    return next((one for one in (home, home / "demo", home / "demo-orders") if (one / "esp").is_dir()), home)


def _wait(twins: Sequence[Twin], folder: Path) -> None:
    """Until Ctrl-C.

    Raises:
        RetriableError: a twin ended by itself.
    """
    while True:
        for twin in twins:
            if twin.process.poll() is not None:
                raise RetriableError(
                    f"The simulated {twin.label} ended by itself.",
                    where=str(folder / "logs" / f"twin-{twin.vendor}.log"),
                    todo="look at that log, then run the same command again",
                )
        threading.Event().wait(LOOK_SECONDS)


def register(app: typer.Typer) -> None:
    add_command(app, "twin", twin_command)
