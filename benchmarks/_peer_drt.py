"""The same people pushed by drt-core and by us, each to a simulated Mailchimp of its own: requests, records, seconds.

drt-core is a tool of its own and no dependency of ours: MAILWRIGHT_BENCH_DRT names its executable, as made by
`python -m venv drt && drt/bin/pip install 'drt-core[duckdb]==1.2.1'`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import httpx
import yaml

from benchmarks._reverse_etl_tables import COLUMNS, MERGE_TAGS, SYNC, installation
from cli.twin import Twin, start_twin
from reverse_etl import runner
from reverse_etl.connect import open_destination
from reverse_etl.declaration import read_sync
from reverse_etl.repair import rejected
from warehouse.connection import connect
from warehouse.settings import Settings

EXECUTABLE = "MAILWRIGHT_BENCH_DRT"
PEOPLE = 10_000
RUNS = (
    "first push",
    "1 % changed",
    "another 1 %, and one new person with a malformed address",
    "nothing changed",
    "another 1 %, one of whom customer service had unsubscribed at the ESP",
)
MOVES_BEFORE = (1, 2, 4)
"""Runs before which 1 % move to another city."""
MALFORMED, MALFORMED_BEFORE = "no-address", 2
UNSUBSCRIBED, UNSUBSCRIBED_BEFORE = "person104@shop.test", 4
TEMPLATE = """{"members": [{% for row in rows %}{"email_address": {{ row.email | tojson_safe }}, "status": "subscribed",
"merge_fields": { FIELDS } }{{ "," if not loop.last }}{% endfor %}], "update_existing": true}"""
SETTINGS = {
    "mode": "incremental", "cursor_field": "changed_at", "batch_size": 500,
    "rate_limit": {"requests_per_second": 1000}, "on_error": "skip", "dlq": {"enabled": True},
}  # fmt: skip

Push = Callable[[Settings, Twin], tuple[float, str]]
"""One run of a tool: (seconds, what it says)."""


def _drt_project(settings: Settings, twin: Twin) -> Path:
    project = settings.home / "drt"
    rows = project / "rows.duckdb"
    fields = zip(MERGE_TAGS, COLUMNS, strict=True)
    template = TEMPLATE.replace("FIELDS", ", ".join(f'"{tag}": {{{{ row.{c} | tojson_safe }}}}' for tag, c in fields))
    destination = {
        "type": "rest_api", "body_mode": "batch", "batch_template": template,
        "url": f"{twin.url}/lists/{os.environ['MAILCHIMP_LIST_ID']}?skip_merge_validation=true",
        "auth": {"type": "basic", "username_env": "BENCH_USER", "password_env": "MAILCHIMP_API_KEY"},
    }  # fmt: skip
    # as text, since its file of failed rows takes no dates
    model = f"select columns(*)::varchar from (select email, changed_at, {', '.join(COLUMNS)} from members)"
    files = {
        "drt_project.yml": {"name": "bench", "profile": "bench"},
        ".drt/profiles.yml": {"bench": {"type": "duckdb", "database": str(rows)}},
        "syncs/bench.yml": {"name": SYNC, "model": model, "destination": destination, "sync": SETTINGS},
    }
    for name, content in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    rows.unlink(missing_ok=True)  # its DuckDB may be newer than ours, and leave a file that ours cannot read
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute(f"attach '{rows}' as theirs")
        con.execute("create table theirs.members as from analytics.sync_esp__members")
    return project


def by_drt(settings: Settings, twin: Twin) -> tuple[float, str]:
    project = _drt_project(settings, twin)
    own = {"HOME": str(project), "BENCH_USER": "any"}  # it looks for its profiles under its home
    environment = {name: os.environ[name] for name in ("PATH", "MAILCHIMP_API_KEY")} | own
    command = [str(Path(os.environ[EXECUTABLE]).absolute()), "run", "--output", "json"]
    took, answer = _run(command, project, environment)
    (said,) = json.loads(answer)["syncs"]
    queue = project / ".drt/dlq" / f"{SYNC}.jsonl"
    n_queued = len(queue.read_text(encoding="utf-8").splitlines()) if queue.exists() else 0
    return took, f"{said['status']}: {said['rows_synced']} synced, {said['rows_failed']} failed; {n_queued} to retry"


def by_mailwright(settings: Settings, _: Twin) -> tuple[float, str]:
    command = [sys.executable, "-m", "benchmarks._peer_drt", str(settings.home)]
    took, answer = _run(command, Path(__file__).parents[1], dict(os.environ))
    said = json.loads(answer)
    parts = [f"{said['created']} created, {said['updated']} updated"]
    parts += [f"{n} blocked ({why.replace('_', ' ')})" for why, n in said["blocked"].items()]
    parts += [f"{row['state']}: “{row['message']}”" for row in said["rejected_rows"]]
    return took, "; ".join(parts)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return time.monotonic() - began, done.stdout


def sync(home: str) -> None:
    """What `mailwright sync` does once the checks have passed, which are no part of this."""
    settings = Settings(home=Path(home), target="prod")
    report = runner.sync(settings, SYNC, gate=lambda *_: None)
    with connect(settings, read_only=True) as con:
        print(json.dumps(report.to_dict() | {"rejected_rows": rejected(con, SYNC)}, default=str))


def _prepare(settings: Settings, twin: Twin, number: int) -> None:
    """What happens in the warehouse, or at the ESP, before that run."""
    with connect(settings, purpose="benchmark") as con:
        if number in MOVES_BEFORE:
            con.execute(
                f"""update analytics.sync_esp__members
                    set city = city || ' Moved', changed_at = changed_at + interval {number} day
                    where try_cast(substr(profile_id, 2) as bigint) % 100 = {number}"""
            )
        if number == MALFORMED_BEFORE:
            for table in ("members", "addresses"):
                new = f"'new' as profile_id, '{MALFORMED}' as email, md5('{MALFORMED}') as subscriber_hash"
                relation = f"analytics.sync_esp__{table}"
                moved = f"profile_id = 'p{number}'"
                con.execute(f"insert into {relation} select * replace ({new}) from {relation} where {moved}")
    if number == UNSUBSCRIBED_BEFORE:
        url = f"{twin.url}/lists/{os.environ['MAILCHIMP_LIST_ID']}/members/{UNSUBSCRIBED}"
        auth = ("any", os.environ["MAILCHIMP_API_KEY"])
        httpx.patch(url, json={"status": "unsubscribed"}, auth=auth).raise_for_status()


def _logged(state: Path, twin: Twin) -> tuple[int, int, int]:
    """(requests so far, of them writing, records in those)"""
    httpx.get(twin.stats).raise_for_status()  # an answer is logged after it was sent: before the next one is
    writing = "filter (where method <> 'GET')"
    query = f"select count(*), count(*) {writing}, coalesce(sum(records) {writing}, 0) from request_log"
    with closing(sqlite3.connect(state)) as con:
        return con.execute(query).fetchone()


def _held(state: Path) -> dict[str, tuple[str, str]]:
    """Address → (status, fields)"""
    with closing(sqlite3.connect(state)) as con:
        return {row[0]: row[1:] for row in con.execute("select email_address, status, merge_fields from members")}


def pushed_by(name: str, push: Push) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """(a line of a table for each run, whom the ESP has in the end)"""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = installation(folder, "mailchimp", PEOPLE, None)
        with connect(settings, purpose="benchmark") as con:
            con.execute("alter table analytics.sync_esp__members add column changed_at timestamp default '2026-01-01'")
        state = settings.home / "esp.sqlite"
        with start_twin("mailchimp", state, settings.home / "esp.log") as twin:
            declaration = read_sync(settings, SYNC)
            destination = open_destination(declaration)
            destination.create_fields(destination.missing_fields([field.spec for field in declaration.fields]))
            destination.close()
            for number, run in enumerate(RUNS):
                _prepare(settings, twin, number)
                before = _logged(state, twin)
                seconds, said = push(settings, twin)
                requests, writing, records = (after - n for after, n in zip(_logged(state, twin), before, strict=True))
                if number == UNSUBSCRIBED_BEFORE:
                    said += f"; at the ESP she is {_held(state)[UNSUBSCRIBED][0]}"
                lines.append(f"| {run} | {name} | {requests:,} ({writing:,}) | {records:,} | {seconds:.1f} | {said} |")
        return lines, _held(state)


def measure() -> list[str]:
    """Lines of Markdown."""
    title = "Side by side with drt-core, the same people pushed to the same simulated Mailchimp"
    if EXECUTABLE not in os.environ:
        return [f"{title}: not run, since {EXECUTABLE} does not name drt's executable (see `_peer_drt.py`)."]
    version = subprocess.run([os.environ[EXECUTABLE], "--version"], stdout=subprocess.PIPE, text=True, check=True)
    theirs, at_theirs = pushed_by("drt", by_drt)
    ours, at_ours = pushed_by("ours", by_mailwright)
    differing = {email for email in at_theirs | at_ours if at_theirs.get(email) != at_ours.get(email)}
    if not differing <= {UNSUBSCRIBED}:
        sys.exit(f"the two ESPs hold {len(differing)} people differently: this compares two different things")
    return [
        f"{title}: {PEOPLE:,} people, {len(COLUMNS)} columns, fields created before.",
        "Each has an ESP of its own on this machine, without delay or faults; each run is a process, whose start is in",
        "its seconds. Requests and records are those that the ESP logged. In the end both ESPs hold the same people",
        "and fields, but for the one of the last run. Ours: default settings; it reads before it writes, here",
        "everybody anew, since all have changed just before.",
        "",
        f"{version.stdout.splitlines()[0]}: `rest_api` in batch mode, `update_existing`, `{json.dumps(SETTINGS)}`.",
        "The benchmark keeps the cursor's column for it: its `diff` strategy, which needs none, answers that it does",
        "not support a DuckDB source. One template is for everybody, and Mailchimp's batch wants a `status` of whoever",
        "is new, so each record has one; Mailchimp itself holds back only those who unsubscribed with their own hands.",
        "Its record mode has one URL too, while Mailchimp's for one member differs for each.",
        "",
        "| run | by | requests (writing) | records sent | seconds | what it says |",
        "|---|---|---|---|---|---|",
        *(line for pair in zip(theirs, ours, strict=True) for line in pair),
    ]


if __name__ == "__main__":
    sync(sys.argv[1])
