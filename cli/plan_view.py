"""What a plan or a run comes to, for people: in a terminal, or as a picture for those who have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from cli.output import PLAIN_WIDTH, count
from cli.redact import redact
from cli.report.sync_view import latency_text
from warehouse.errors import ConfigError

_SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect width="100%" height="100%" rx="8" fill="#fff"/>
<g transform="translate({terminal_x}, 24)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""In place of rich's own, which would fetch a font from the Internet and draws a window around."""

_COUNTS = (
    ("created", "people created"),
    ("updated", "people updated"),
    ("lowered", "subscriptions ended"),
    ("cleared", "people whose fields are emptied"),
    ("entering", "segment entries"),
    ("leaving", "segment exits"),
    ("events", "events"),
    ("unchanged", "people unchanged"),
    ("in_doubt", "in doubt: the next sync settles them"),
    ("events_in_doubt", "events in doubt: sent, and not answered"),
    ("waiting", "accepted, not decided yet: the next sync looks first"),
    ("requests", "requests"),
    ("writes", "of them writing"),
)

_SELDOM = {"in_doubt", "waiting", "cleared", "lowered", "events", "events_in_doubt"}
"""Counts that are shown only where there are any."""

_OPERATIONS: Mapping[str, str] = {
    "create": "created",
    "update": "updated",
    "lower": "subscription ended",
    "clear": "fields emptied",
}
"""What happens to one person, in the words of the counts."""


def render(console: Console, data: dict[str, Any]) -> None:
    """Counts, then what stays behind and why, then what a guard or a check says."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    for key, name in _COUNTS:
        if data.get(key) or (key in data and key not in _SELDOM):
            table.add_row(count(data[key]), name)
    segments = _segments(data.get("segments") or {})
    if segments is not None:
        beside = Table.grid(padding=(0, 6))
        beside.add_row(table, segments)
        table = beside
    console.print(table)
    for title in ("blocked", "rejected", "held", "events_blocked"):
        for reason, number in sorted((data.get(title) or {}).items(), key=lambda item: -item[1]):
            text = f"{title.replace('_', ' ')} {count(number)}: {reason.replace('_', ' ')}"
            console.print(Text(text, style="dim"))
    for guard in data.get("guards") or ():
        console.print(Text(f"Guard {guard['name']}: {guard['message']}", style="yellow"))
    for note in data.get("notes") or ():
        console.print(Text(redact(note)))
    if "estimated_minutes" in data:
        console.print(Text(f"At the vendor's limits: about {data['estimated_minutes']:g} minutes.", style="dim"))
    if data.get("latency_seconds") is not None:
        console.print(Text(f"Event to ESP: {latency_text(data)} since the newest load.", style="dim"))


def _segments(moves_of: Mapping[str, Mapping[str, int]]) -> Table | None:
    """Who enters and leaves, by segment; none, where nobody moves."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Segment", overflow="fold")
    for name in ("Entering", "Leaving"):
        table.add_column(name, justify="right")
    for name, moves in sorted(moves_of.items()):
        if moves["entering"] or moves["leaving"]:
            table.add_row(Text(name), count(moves["entering"]), count(moves["leaving"]))
    return table if table.row_count else None


def render_sample(console: Console, people: list[dict[str, Any]], shown: Callable[[str], str] = str) -> None:
    """Some people, before and after; values as `shown` leaves them."""
    for person in people:
        reason = f" ({person['reason'].replace('_', ' ')})" if person["reason"] else ""
        what = _OPERATIONS.get(person["operation"], person["operation"]) + reason
        console.print(Text.assemble("\n", (f"{person['subscriber_hash']}  {what}", "bold")))
        lines = [
            (name, *("" if v is None else shown(str(v)) for v in pair)) for name, pair in person["changes"].items()
        ]
        lines += [(name, "", "in") for name in person["enters"]] + [(name, "in", "") for name in person["leaves"]]
        table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
        for name, ratio in (("Field or segment", 5), ("There now", 5), ("Sent", 9)):
            table.add_column(name, overflow="fold", ratio=ratio)
        for line in lines:
            table.add_row(*(Text(cell) for cell in line))
        if lines:
            console.print(table)


def save_picture(path: Path, title: str, data: dict[str, Any], people: list[dict[str, Any]]) -> None:
    """The same as an SVG, which any browser opens and which loads nothing from anywhere.

    A file is passed on: no address and no telephone is in it.

    Raises:
        ConfigError: it cannot be written there.
    """
    console = Console(file=StringIO(), record=True, width=PLAIN_WIDTH, highlight=False)
    console.print(Text(title + "\n", style="bold"))
    render(console, data)
    if people:
        render_sample(console, people, redact)
    try:
        path.write_text(console.export_svg(theme=DEFAULT_TERMINAL_THEME, code_format=_SVG), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"The picture cannot be written there ({error.strerror}).", where=str(path)) from None
