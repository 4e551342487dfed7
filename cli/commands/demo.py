"""`mailwright demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command


def demo_command(
    ctx: typer.Context,
    orders: Annotated[
        Path | None,
        typer.Option("--orders", help="Real orders (UCI Online Retail columns: Parquet, CSV, XLSX) in the store."),
    ] = None,
    contacts: Annotated[
        int | None, typer.Option("--contacts", min=50, help="Contacts (default: 20,000).", show_default=False)
    ] = None,
    events: Annotated[
        int | None, typer.Option("--events", min=500, help="Web events (default: 1,000,000).", show_default=False)
    ] = None,
    months: Annotated[
        int | None, typer.Option("--months", min=2, max=60, help="Months of history (default: 18).", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the simulation.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier demo in this folder first.")] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole main job on a simulated store, against a simulated ESP. Nothing leaves this machine.

    Simulates a shop (contacts, catalogue, web and e-mail events, orders, consent), loads and checks it, builds
    profiles, segments and predictions, syncs them to a local twin of Mailchimp, and ends with one screen and an HTML
    report. Run it again: nothing has changed, so nothing is written to the ESP. It lives in a folder of its own, apart
    from your warehouse: that of --home, else `demo` (`demo-orders` with --orders) under the default home.

    [bold]Examples[/bold]

      mailwright demo
      mailwright demo --contacts 2000 --events 50000 --months 6       a small one, for a quick look
      mailwright demo --orders online_retail.parquet                  real orders, the rest simulated around them

    [bold]Exit codes[/bold]: 0 done · 3 the file of orders cannot be used · 4 the folder holds something else · 5 busy
    """
    session = open_session(ctx, home, target, as_json)
    from cli.demo import DemoConfig, claim_home, demo_settings, run_demo
    from cli.screen import render_demo

    config = DemoConfig(contacts, events, months, seed, orders.absolute() if orders else None)
    settings = demo_settings(session.settings, config, home_given=session.home_given)
    claim_home(settings, config, fresh=fresh)
    report = run_demo(settings, config, session.out)
    session.out.result(report.to_dict(), lambda console: render_demo(console, report))


def register(app: typer.Typer) -> None:
    add_command(app, "demo", demo_command)
