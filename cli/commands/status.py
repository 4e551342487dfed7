"""`mailwright status`: where this installation stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count
from cli.redact import redact
from cli.report.sync_view import latency_text
from cli.session import HomeOption, JsonOption, TargetOption, demo_if_alone, open_session
from cli.status import Status, read_status
from cli.teach import add_command


def status_command(
    ctx: typer.Context,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Last loads, builds, checks, models, syncs and pulls; rejected and doubtful records; the data's age.

    Where the installation has no warehouse yet but the demo has, the demo's is shown.

    [bold]Examples[/bold]

      mailwright --target prod status
      mailwright --home .mailwright/demo --target prod status --json

    [bold]Exit codes[/bold]: 0 shown · 3 there is no warehouse · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    settings = session.settings if session.home_given else demo_if_alone(session.settings)
    status = read_status(settings)
    session.out.result(status.to_dict(), lambda console: render(console, status))


def render(console: Console, status: Status) -> None:
    age = f"{status.data_age_hours:,.1f} h old" if status.data_age_hours is not None else "nothing loaded"
    clock = f"as of {status.as_of}Z" if status.as_of else "nothing built"
    console.print(Text(f"{status.warehouse} ({status.megabytes:,.0f} MB)"), soft_wrap=True)
    console.print(f"Schema [bold]{status.schema}[/bold], {clock}; newest load {age}.\n")
    tables = status.tables
    _table(console, "Loads", tables["loads"], {
        "table": lambda row: row["table_name"],
        "files": lambda row: count(row["files"]),
        "rows": lambda row: count(row["rows_loaded"]),
        "quarantined": lambda row: count(row["rows_quarantined"]),
        "source": lambda row: row["provenance"],
        "last": lambda row: _when(row["last_loaded_at"]),
    })  # fmt: skip
    _table(console, "Rows in quarantine", tables["quarantine"][:8], {
        "table": lambda row: row["table_name"],
        "rows": lambda row: count(row["rows"]),
        "reason": lambda row: redact(row["reason"]),
    })  # fmt: skip
    _table(console, "Builds", tables["builds"], {
        "started": lambda row: _when(row["started_at"]),
        "schema": lambda row: row["schema_name"],
        "as of": lambda row: _when(row["as_of"]),
        "status": lambda row: row["status"],
        "models": lambda row: count(row["n_models"]),
        "tests": lambda row: count(row["n_tests"]),
        "failed": lambda row: count(row["n_failed"]),
    })  # fmt: skip
    _checks(console, status)
    _table(console, "Models", tables["models"], {
        "job": lambda row: row["job"],
        "version": lambda row: row["model_version"],
        "as of": lambda row: _when(row["as_of"]),
        "trained": lambda row: _when(row["trained_at"]),
        "state": lambda row: row["state"],
    })  # fmt: skip
    _table(console, "Syncs", tables["syncs"], {
        "sync": lambda row: row["sync_name"],
        "started": lambda row: _when(row["started_at"]),
        "as of": lambda row: _when(row["as_of"]),
        "status": lambda row: row["status"],
        "event to ESP": lambda row: latency_text(row["report"]),
        "message": lambda row: redact(row["message"] or ""),
    })  # fmt: skip
    _table(console, "Pulled", tables["pulls"], {
        "from": lambda row: row["destination"],
        "started": lambda row: _when(row["started_at"]),
        "status": lambda row: row["status"],
        "new": lambda row: count(row["report"].get("n_new", 0)),
        "read up to": lambda row: (row["report"].get("cursor") or "–").replace("T", " ")[:16],
        "message": lambda row: redact(row["message"] or ""),
    })  # fmt: skip
    _table(console, "Ledger", tables["ledger"], {
        "sync": lambda row: row["sync_name"],
        "object": lambda row: row["object"],
        "state": lambda row: row["state"] + (f" ({row['rejected_class']})" if row["rejected_class"] else ""),
        "records": lambda row: count(row["records"]),
    })  # fmt: skip
    _table(console, "Rejected", tables["rejected"], {
        "sync": lambda row: row["sync_name"],
        "object": lambda row: row["object"],
        "records": lambda row: count(row["records"]),
        "the ESP says": lambda row: redact(row["message"] or ""),
        "class": lambda row: row["rejected_class"] or "",
    })  # fmt: skip
    doubtful = sum(row["records"] for row in tables["in_doubt"])
    if doubtful:
        console.print(f"[yellow]{count(doubtful)} records in doubt[/yellow]: the next sync settles them.")


def _checks(console: Console, status: Status) -> None:
    rows = status.tables["checks"]
    newest = [row for row in rows if row["is_newest"]]
    passed = sum(row["n_expectations"] - row["n_failed"] for row in newest)
    failing = [row for row in rows if not row["success"]]
    if rows:
        console.print(Text("Checks", style="bold"))
        console.print(f"{count(passed)} expectations passed on {len(newest)} tables at the newest look.")
    _table(console, "", failing, {
        "failing": lambda row: row["table_name"],
        "load or build": lambda row: row["subject_id"],
        "failed": lambda row: count(row["n_failed"]),
        "checked": lambda row: _when(row["checked_at"]),
    })  # fmt: skip
    if any(row["subject_kind"] == "load" for row in failing):
        console.print("Correct the file and load it; take the bad load out: `mailwright load --withdraw LOAD`.")
    waiting = status.tables["unchecked_loads"]
    if waiting:
        names = ", ".join(row["table_name"] for row in waiting)
        console.print(f"[yellow]Loads without a check[/yellow]: {names}. Run `mailwright check`.")
    if rows or waiting:
        console.print()


def _when(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M}" if instant else "–"


def _table(console: Console, title: str, rows: list[dict[str, Any]], columns: dict[str, Any]) -> None:
    if not rows:
        return
    if title:
        console.print(Text(title, style="bold"))
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    numeric = {"files", "rows", "quarantined", "models", "tests", "failed", "records", "new"}
    for name in columns:
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(draw(row))) for draw in columns.values()))
    console.print(table)
    console.print()


def register(app: typer.Typer) -> None:
    add_command(app, "status", status_command)
