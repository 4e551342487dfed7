"""What people did with their mail, from a destination into the raw tables, with a cursor for each stream.

The pages of a destination are written to files as webhooks' rows are, and the files are loaded by whoever calls: one
path into the raw tables, with its contract, load ids and quarantine. The cursors move after that, in a transaction of
their own: the load commits by itself, file by file, and what is between the two is read again by the next pull. Rows
whose key lies in the raw table already, from an earlier pull or a webhook, are not loaded again; if two arrive at once
all the same, the models take the first report of an event.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb

from reverse_etl import lease as leases
from reverse_etl.connect import open_destination
from reverse_etl.declaration import read_sync
from reverse_etl.destination import Destination
from reverse_etl.engagement import EngagementPage, Since
from reverse_etl.errors import DestinationDown, NoAnswer, without_secrets
from reverse_etl.limits import limit
from reverse_etl.webhooks.rows import ConsentEvent, EmailEvent, NoRow, Unaddressed, to_jsonl
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, MailwrightError
from warehouse.failpoints import failpoint
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

LEASE = "pull of engagement"
"""Beside those of syncs."""
ROWS_PER_LOAD = 20_000
"""Held in memory, and read again after a crash."""
SECONDS_PER_LOAD = 300
"""Less than the 15 minutes after which a lease is stale."""
KEYS = {"email_events": "event_id", "consent_events": "consent_event_id"}
Row = TypeVar("Row", EmailEvent, ConsentEvent)


class Loaded(Protocol):
    """What a load says of itself."""

    @property
    def rows_loaded(self) -> int: ...

    @property
    def rows_quarantined(self) -> int: ...


class Load(Protocol):
    """Brings the files of a folder, one sub-folder per raw table, into the raw tables (`ingest.load.load_pulled`)."""

    def __call__(self, settings: Settings, folder: Path, /) -> Loaded: ...


@dataclass
class PullReport:
    """What a pull brought."""

    pull_id: str
    destination: str
    started_at: datetime
    seconds: float = 0.0
    requests: int = 0
    new: Counter[str] = field(default_factory=Counter)
    """Type of event → rows that were not in the raw tables."""
    known: int = 0
    """Rows that were there already, or came twice."""
    unaddressed: int = 0
    """Events of people whom the destination names by its own id alone."""
    without_row: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    """Why items could not be read → how many."""
    quarantined: int = 0
    cursors: dict[str, datetime] = field(default_factory=dict)
    """Stream → what happened until then is in the raw tables."""

    @property
    def n_new(self) -> int:
        return sum(self.new.values())

    @property
    def cursor(self) -> datetime | None:
        """The newest instant of all streams."""
        return max(self.cursors.values(), default=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        counts = {name: dict(sorted(getattr(self, name).items())) for name in ("new", "without_row", "rejected")}
        return {
            **asdict(self),
            **counts,
            "n_new": self.n_new,
            "started_at": _instant(self.started_at),
            "cursor": self.cursor and _instant(self.cursor),
            "cursors": {stream: _instant(at) for stream, at in sorted(self.cursors.items())},
        }


def _instant(value: datetime) -> str:
    return value.isoformat() + "Z"


def pull(
    settings: Settings,
    name: str,
    *,
    load: Load,
    since: datetime | None = None,
    destination: Destination | None = None,
    on_progress: Callable[[str], None] | None = None,
    now: Callable[[], datetime] = utcnow,
) -> PullReport:
    """Bring what is new of a destination's engagement into the raw tables.

    Args:
        name: a declared sync, whose account is asked.
        load: how files get into the raw tables.
        since: read again from this instant on (naive UTC); never less than what is new.
        destination: instead of the one that `name` says, which has its credentials from the environment.

    Raises:
        DestinationConfigError, DestinationDown: what was read until then is loaded, and the next pull goes on there.
        LeaseHeld: another pull of this destination is under way.
    """
    if since is not None and since > now():
        raise ConfigError(f"--since {since} is in the future.", todo="name an instant that has passed, in UTC")
    with _opened(settings, name, destination) as target:
        began, report = time.monotonic(), PullReport(new_id("pull"), target.key, now())
        with connect(settings, purpose="pull") as con:
            ensure_state(con, settings)
            lease = leases.acquire(con, LEASE, target.key, report.pull_id)
            report.cursors = _read_cursors(con, target.key)
        error: BaseException | None = None
        try:
            _pull(settings, target, report, lease, load, _since(target.kind, dict(report.cursors), since), on_progress)
        except BaseException as raised:
            error = raised
            raise
        finally:
            report.seconds = round(time.monotonic() - began, 3)
            report.requests = target.traffic.requests
            with connect(settings, purpose="pull") as con:
                _finish(con, report, lease, error, now())
        return report


@contextlib.contextmanager
def _opened(settings: Settings, name: str, given: Destination | None) -> Iterator[Destination]:
    if given is not None:
        yield given
        return
    made = open_destination(read_sync(settings, name))
    try:
        yield made
    finally:
        made.close()


def _since(kind: str, cursors: dict[str, datetime], since: datetime | None) -> Since:
    overlap = timedelta(seconds=limit(kind, "engagement_overlap_seconds"))

    def of(stream: str) -> datetime | None:
        reached = cursors.get(stream)
        if reached is None:
            return since
        usual = reached - overlap
        return usual if since is None else min(since, usual)  # what lies between was not read yet

    return of


def _pull(
    settings: Settings,
    target: Destination,
    report: PullReport,
    lease: leases.Lease,
    load: Load,
    since: Since,
    on_progress: Callable[[str], None] | None,
) -> None:
    spool = _Spool(settings, report, lease, load)
    try:
        for page in target.pull_engagement(since, report.started_at):
            spool.add(page)
            if spool.is_full:
                spool.flush()
            if on_progress:
                on_progress(f"{page.stream}: {report.n_new:,} new, {spool.size:,} to load")
    except MailwrightError as error:
        spool.flush()  # what was read is kept; streams that were not read to a known point are read again
        if isinstance(error, DestinationDown | NoAnswer):
            todo = "run `mailwright pull` again: what was read is loaded, and it goes on from there"
            raise DestinationDown(error.what, where=error.where, todo=todo) from None
        raise
    spool.flush()


class _Spool:
    """Rows on their way: collected, written to files, loaded, and only then the cursors moved."""

    def __init__(self, settings: Settings, report: PullReport, lease: leases.Lease, load: Load) -> None:
        self._settings, self._report, self._lease, self._load = settings, report, lease, load
        digest = hashlib.sha256(report.destination.encode()).hexdigest()[:12]
        self._folder = settings.home / "engagement" / digest
        self._rows: dict[str, dict[str, Any]] = {table: {} for table in KEYS}
        self._reached: dict[str, datetime] = {}
        self._n, self._flushed = 0, time.monotonic()
        self._clear()  # of a pull that was killed: its rows come again

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def size(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    @property
    def is_full(self) -> bool:
        """Whether it is time to load."""
        return self.size >= ROWS_PER_LOAD or time.monotonic() - self._flushed >= SECONDS_PER_LOAD

    def add(self, page: EngagementPage) -> None:
        self._report.rejected.update(page.rejected)
        for one in page.found:
            if isinstance(one, EmailEvent):
                self._put("email_events", one.event_id, one)
            elif isinstance(one, ConsentEvent):
                self._put("consent_events", one.consent_event_id, one)
            elif isinstance(one, Unaddressed):
                self._report.unaddressed += 1
            elif isinstance(one, NoRow):
                self._report.without_row[without_secrets(one.what)[:100]] += 1
        if page.reached is not None:
            self._reached[page.stream] = max(page.reached, self._reached.get(page.stream, page.reached))

    def _put(self, table: str, key: str, row: EmailEvent | ConsentEvent) -> None:
        """The first of equal keys: a page border told the others again."""
        self._report.known += key in self._rows[table]
        self._rows[table].setdefault(key, row)

    def flush(self) -> None:
        with connect(self._settings, purpose="pull") as con:
            fresh = {table: self._unknown(con, table, rows) for table, rows in self._rows.items()}
        if any(fresh.values()):
            self._write(fresh)
            failpoint("pull.before_load")
            loaded = self._load(self._settings, self._folder)
            failpoint("pull.after_load")
            self._clear()
            self._report.quarantined += loaded.rows_quarantined
            self._report.new.update(row.event for row in fresh["email_events"])
            self._report.new.update({"consent claim": len(fresh["consent_events"])} if fresh["consent_events"] else {})
        with connect(self._settings, purpose="pull") as con:
            con.execute("begin")
            leases.renew(con, self._lease)
            _move_cursors(con, self._report, self._reached)
            con.execute("commit")
        self._rows = {table: {} for table in KEYS}
        self._reached = {}
        self._flushed = time.monotonic()

    def _unknown(self, con: duckdb.DuckDBPyConnection, table: str, rows: dict[str, Any]) -> list[Any]:
        """Those whose key the raw table does not have."""
        try:
            found = con.execute(
                f"select distinct {KEYS[table]} from raw.{table} where {KEYS[table]} in (select unnest(?::text[]))",
                [list(rows)],
            ).fetchall()
        except duckdb.CatalogException:  # nothing was ever loaded
            found = []
        known = {key for (key,) in found}
        self._report.known += len(known)
        return [row for key, row in rows.items() if key not in known]

    def _write(self, fresh: dict[str, list[Any]]) -> None:
        self._n += 1
        for table, rows in fresh.items():
            if rows:
                path = self._folder / table / f"{self._report.pull_id}_{self._n}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(to_jsonl(rows), encoding="utf-8")


def _read_cursors(con: duckdb.DuckDBPyConnection, destination: str) -> dict[str, datetime]:
    return dict(
        con.execute(
            "select stream, reached_at from ledger.engagement_cursors where destination = ?", [destination]
        ).fetchall()
    )


def _move_cursors(con: duckdb.DuckDBPyConnection, report: PullReport, reached: dict[str, datetime]) -> None:
    """Forward only: `since` in the past, or a clock that went back, take nothing away."""
    for stream, at in reached.items():
        con.execute(
            """insert into ledger.engagement_cursors values (?, ?, ?, ?, ?)
               on conflict (destination, stream) do update set
                   reached_at = greatest(reached_at, excluded.reached_at), pull_id = excluded.pull_id,
                   moved_at = excluded.moved_at""",
            [report.destination, stream, at, report.pull_id, utcnow()],
        )
        report.cursors[stream] = max(at, report.cursors.get(stream, at))


def _finish(
    con: duckdb.DuckDBPyConnection,
    report: PullReport,
    lease: leases.Lease,
    error: BaseException | None,
    finished_at: datetime,
) -> None:
    message = None if error is None else without_secrets(getattr(error, "what", "") or type(error).__name__)
    con.execute("begin")
    con.execute(
        "insert into ledger.engagement_pulls values (?, ?, ?, ?, ?, ?, ?)",
        [
            report.pull_id, report.destination, report.started_at, finished_at,
            "succeeded" if error is None else "failed", message, json.dumps(report.to_dict()),
        ],
    )  # fmt: skip
    leases.release(con, lease)
    con.execute("commit")
