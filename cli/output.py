"""Where the command line writes: results to stdout (text or JSON), progress and errors to stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.redact import redact

INTERRUPTED_ONCE = threading.Event()
"""Somebody pressed Ctrl-C in this invocation; set by `cli.main`."""
PLAIN_WIDTH = 100
"""Columns where the terminal does not say (a pipe, a log)."""


def jsonable(value: Any) -> Any:
    """`value` in JSON's own types: instants as ISO 8601 with Z (all are UTC), money as text, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (Decimal, Path)):
        return str(value)
    if isinstance(value, (str, int, float)) or value is None:
        return None if value != value else value  # JSON knows no NaN
    if hasattr(value, "item"):  # a numpy scalar
        return jsonable(value.item())
    return str(value)


class Step:
    """One piece of long work: `detail` moves the line under the spinner, `note` stays on the finished line."""

    def __init__(self, update: Callable[[str], None]) -> None:
        self._update = update
        self.noted = ""

    def detail(self, text: str) -> None:
        self._update(redact(" ".join(text.split())))

    def note(self, text: str) -> None:
        self.noted = redact(text)


@dataclass
class Output:
    """Text for people, or one JSON document for machines; never both on stdout."""

    as_json: bool = False
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each finished step, by title."""

    def __post_init__(self) -> None:
        self.console = self._console(self.stderr if self.as_json else self.stdout)
        self.progress_console = self._console(self.stderr)

    @staticmethod
    def _console(file: TextIO) -> Console:
        return Console(file=file, highlight=False, width=None if file.isatty() else PLAIN_WIDTH)

    def result(self, data: Mapping[str, Any], render: Callable[[Console], None]) -> None:
        """The command's answer: `data` as JSON, or drawn by `render`."""
        if self.as_json:
            self.write_json(data)
        else:
            render(self.console)

    def write_json(self, data: Mapping[str, Any]) -> None:
        json.dump(jsonable(data), self.stdout, indent=2, ensure_ascii=False)
        self.stdout.write("\n")
        self.stdout.flush()

    def say(self, text: str) -> None:
        """A line for people on stderr."""
        self.progress_console.print(Text(redact(text)))

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A line that moves while the block runs and stays with its seconds when it ended."""
        started = time.perf_counter()
        if self.progress_console.is_terminal:
            bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[detail]}", markup=True),
                console=self.progress_console,
                transient=True,
            )
            task = bar.add_task(title, total=None, detail="")
            width = max(10, self.progress_console.width - len(title) - 16)

            def update(text: str) -> None:
                bar.update(task, detail=text[:width].replace("[", "("))

            step, shown = Step(update), bar
        else:
            step, shown = Step(lambda _text: None), contextlib.nullcontext()
        ended_well = False
        try:
            with shown:
                yield step
            if INTERRUPTED_ONCE.is_set():
                raise KeyboardInterrupt
            ended_well = True
        finally:
            self.seconds[title] = time.perf_counter() - started
            self.progress_console.print(_finished_line(title, self.seconds[title], step.noted, ended_well))


def _finished_line(title: str, seconds: float, note: str, ended_well: bool) -> Table:
    line = Table.grid(padding=(0, 1), expand=False)
    line.add_column(width=1)
    line.add_column(width=34, no_wrap=True)
    line.add_column(width=8, justify="right", no_wrap=True)
    line.add_column(overflow="fold")
    mark = Text("✓", style="green") if ended_well else Text("✗", style="bold red")
    line.add_row(mark, Text(title), Text(f"{seconds:.1f} s", style="dim"), Text(note, style="dim"))
    return line


def count(number: float | int | None) -> str:
    """`12,345`; an en dash for nothing."""
    return "–" if number is None else f"{number:,.0f}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
