"""The demo's one screen, at 100 columns: what was made, and what reached the ESP."""

from __future__ import annotations

import shlex
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.demo import DemoReport
from cli.output import count, percent
from cli.report.data import ReportData, Row
from cli.report.metrics import ModelCard, model_cards
from cli.report.render import BEHIND, money, words
from cli.report.sync_view import SyncView
from reverse_etl.connect import VENDORS

WIDTH = 100
BAR = 12


def render_demo(console: Console, report: DemoReport) -> None:
    """Everything that a first look needs."""
    data = report.data
    console.print(_headline(data))
    half = WIDTH // 2
    stages = Group(_bars(data.rows("customer_stages")), Text(""), _bars(data.rows("journey_stages")))
    console.print(
        _row(
            _panel("Customer stage · journey stage", stages, half, _source(data, "stages")),
            _panel("RFM cells", _bars(data.rows("rfm_cells")), half, _source(data, "orders")),
        )
    )
    segments = Group(_bars(data.rows("segments")), _list("engagement", data.rows("engagement")))
    console.print(
        _row(
            _panel("Segments", segments, half, _source(data, "stages")),
            _panel("Predictions", _predictions(data), half),
        )
    )
    if data.provenance(BEHIND["orders"]) == "real":
        console.print(_panel("From raw order lines to net revenue", _reconciliation(data), WIDTH, "real"))
        console.print(_panel("Top products", _top_products(data), WIDTH, "real"))
    console.print(_panel("At the ESPs (simulated, on this machine)", _esp(data, report), WIDTH))
    _ending(console, report)


def _row(*panels: RenderableType) -> RenderableType:
    return Columns(panels, padding=(0, 0), expand=False)


def _panel(title: str, body: RenderableType, width: int, source: str = "") -> Panel:
    heading = f"[bold]{title}[/bold]" + (f" [dim]({source})[/dim]" if source else "")
    return Panel(body, title=heading, title_align="left", border_style="dim", width=width, padding=(0, 1))


def _source(data: ReportData, part: str) -> str:
    return data.provenance(BEHIND[part])


def _headline(data: ReportData) -> RenderableType:
    totals, orders = data.one("totals"), data.one("order_totals")
    as_of = data.one("clock")["as_of"]
    parts = [
        (count(totals["profiles"]), "profiles"),
        (count(totals["signed_up"]), "signed up"),
        (count(orders["buyers"]), "buyers"),
        (count(orders["orders"]), "orders"),
        (money(orders["net_revenue"], orders["currency"], 0), "net"),
    ]
    text = Text("\n")
    for value, name in parts:
        text.append(value, style="bold").append(f" {name}  ", style="dim")
    return text.append(f"as of {as_of:%Y-%m-%d}", style="dim")


def _bars(rows: list[Row], limit: int = 14) -> RenderableType:
    """Name, number and a bar per row."""
    table = Table.grid(padding=(0, 1))
    table.add_column(overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    largest = max((row["profiles"] for row in rows), default=1) or 1

    for row in rows[:limit]:
        filled = round(BAR * row["profiles"] / largest)
        table.add_row(words(row["name"]), count(row["profiles"]), Text("▇" * filled, style="cyan"))
    return table


def _list(title: str, rows: list[Row]) -> Text:
    parts = ", ".join(f"{words(row['name'])} {count(row['profiles'])}" for row in rows)
    return Text(f"{title}: {parts}", style="dim")


def _predictions(data: ReportData) -> RenderableType:
    totals, recommended = data.one("totals"), data.one("recommended")
    share = recommended["profiles"] / totals["with_email"] if totals["with_email"] else None
    lines: list[RenderableType] = [
        Text(f"Top 3 for {count(recommended['profiles'])} people ({percent(share)} of addresses)"),
        _list("by rung", data.rows("best_rungs")),
    ]
    for card in model_cards(data.rows("models")):
        lines += [Text(""), _model(card)]
        if card.job == "churn" and data.rows("churn_bands"):
            lines.append(_list("bands", data.rows("churn_bands")))
    return Group(*lines)


def _model(card: ModelCard) -> RenderableType:
    """The first two measures beside the baselines."""
    if not card.measures:
        return Text(f"{card.job}: {card.note or 'no measures'}")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(card.job, header_style="bold", no_wrap=True)
    table.add_column("model", justify="right", no_wrap=True)
    for _, short, _ in card.measures[0].baselines:
        table.add_column(short, justify="right", no_wrap=True)
    for measure in card.measures[:2]:
        values = ("–" if value is None else f"{value:.3f}" for _, _, value in measure.baselines)
        table.add_row(measure.name, Text(f"{measure.model:.3f}", style="bold"), *values)
    return table


def _reconciliation(data: ReportData) -> RenderableType:
    currency = data.one("order_totals")["currency"]
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("step", overflow="fold")
    for name in ("rows out", "out", "rows left", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in data.rows("reconciliation"):
        table.add_row(
            words(row["step"]),
            count(row["rows_removed"]),
            _money(row["revenue_removed"], currency),
            count(row["rows_left"]),
            _money(row["revenue_left"], currency),
        )
    return table


def _money(value: Any, currency: str | None) -> str:
    return "–" if value is None else money(value, currency)


def _top_products(data: ReportData) -> RenderableType:
    currency = data.one("order_totals")["currency"]
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("product", overflow="ellipsis", no_wrap=True)
    for name in ("net revenue", "sold", "buyers"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in data.rows("top_products")[:5]:
        table.add_row(row["name"], money(row["net_revenue"], currency), count(row["quantity"]), count(row["buyers"]))
    return table


def _esp(data: ReportData, report: DemoReport) -> RenderableType:
    lines: list[RenderableType] = []
    views = {VENDORS.get(name, name): SyncView.of(sync) for name, sync in report.syncs.items()}
    width = max(len(name) for name in views) + 2
    for title, view in views.items():
        facts = Text(title.ljust(width))
        for name in ("created", "updated", "lowered", "entering", "leaving", "rejected"):
            if getattr(view, name) or name != "lowered":
                facts.append(count(getattr(view, name)), style="bold").append(f" {name}   ", style="dim")
        facts.append(count(view.n_blocked), style="bold").append(" blocked", style="dim")
        lines.append(facts)
        reasons = [f"{count(row['profiles'])} {words(row['name'])}" for row in view.blocked[:3]]
        if reasons:
            lines.append(Text(f"{'':{width}}blocked: {', '.join(reasons)}", style="dim"))
    passed = sum(row["expectations"] - row["failed"] for row in data.rows("checks"))
    failed = sum(row["failed"] for row in data.rows("checks"))
    build = data.one("build")
    lines.append(
        Text(
            f"{count(passed)} expectations passed, {count(failed)} failed · "
            f"{count(build['n_tests'])} model tests passed · event to ESP: "
            + ", ".join(view.latency_text for view in views.values())
        )
    )
    return Group(*lines)


def _ending(console: Console, report: DemoReport) -> None:
    writes, requests = report.writes, report.requests
    if writes == 0:
        console.print("[bold green]0 writes to the ESPs[/bold green]: nothing had changed.")
    else:
        console.print(
            f"[bold green]{count(writes)} writes to the ESPs[/bold green], {count(requests)} requests in all."
        )
    total = sum(report.seconds.values())
    console.print(f"{total:.0f} seconds. Report: [bold]{report.report_path}[/bold]", soft_wrap=True)
    where = f"--home {shlex.quote(str(report.home))} --target prod"  # to be pasted into a shell
    console.print("Next: the same command again (nothing to write); or", style="dim")
    for command, what in (("twin", "what the ESPs hold"), ("ui", "lineage, runs, checks"), ("status", "what was done")):
        console.print(f"  mailwright {where} {command}   ({what})", soft_wrap=True, style="dim")
