"""A small world for sync tests: a warehouse with hand-made activation tables, and a twin over loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import httpx
import uvicorn

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.plan import Plan
from reverse_etl.report import SyncReport
from reverse_etl.runner import plan, sync
from sandbox.twins.faults import App, Faults
from sandbox.twins.mailchimp import create_app
from sandbox.twins.mailchimp_store import DEFAULT_LIST, Member, Store
from warehouse.connection import connect
from warehouse.settings import Settings

API_KEY = "0123456789abcdef0123456789abcdef-us0"
AS_OF = datetime(2011, 12, 10)
COLUMNS = {
    "profile_id": "text",
    "email": "text",
    "subscriber_hash": "text",
    "consent_verdict": "text",
    "consent_reason": "text",
    "first_name": "text",
    "city": "text",
    "last_purchase_on": "date",
    "last_session_on": "date",
    "rfm_score": "text",
    "rfm_cell": "text",
    "customer_stage": "text",
    "journey_stage": "text",
    "engagement_level": "text",
    "churn_band": "text",
    **{
        f"rec_{n}_{what}": kind
        for n in (1, 2, 3)
        for what, kind in {"name": "text", "price": "numeric(18,2)", "url": "text", "image_url": "text"}.items()
    },
    "recs_expire_at": "timestamp",
    "as_of": "timestamp",
}


def hash_of(email: str) -> str:
    return hashlib.md5(email.lower().encode()).hexdigest()


def open_gate(con: object, settings: Settings, /) -> None:
    """The checks passed."""


class InProcess(httpx.BaseTransport):
    """Hands requests to a twin directly, one at a time: no sockets, no threads.

    `faults` are the network's: `timeout` (it arrived, and no answer came in time), `twice` (it arrived twice).
    """

    def __init__(self, door: App) -> None:
        self._door = door
        self._turn = threading.Lock()
        self.faults = Faults()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._turn:
            fault: Any = self.faults.next(request.method, request.url.path)
            response = self._delivered(request)
            if fault is not None and fault.kind == "timeout":
                raise httpx.ReadTimeout("no answer in time", request=request)
            return self._delivered(request) if fault is not None else response

    def _delivered(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http", "http_version": "1.1", "method": request.method, "scheme": "http", "root_path": "",
            "path": request.url.path, "raw_path": request.url.raw_path, "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.read(), "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        answering: Any = self._door(scope, receive, send)
        try:
            answering.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("a twin that waits for something cannot be reached in process")
        body = b"".join(message.get("body", b"") for message in messages[1:])
        headers = httpx.Headers(messages[0]["headers"])
        if len(body) < int(headers.get("content-length", 0)) and request.method != "HEAD":
            raise httpx.RemoteProtocolError("the connection was closed in the middle of the body", request=request)
        return httpx.Response(messages[0]["status"], headers=headers, content=body)


class Served:
    """A twin in a thread of this process, over real HTTP."""

    def __init__(self, store: Any, door: App, version: str) -> None:
        self.store = store
        self.door: Any = door
        self._version = version
        config = uvicorn.Config(door, port=0, log_level="error", access_log=False, lifespan="off", date_header=False)  # pyright: ignore[reportArgumentType]
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.005)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/{self._version}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.force_exit = self._server.should_exit = True
        self._thread.join(10)
        self.store.close()

    @contextmanager
    def in_process(self) -> Iterator[Self]:
        """Without a socket: reached through `InProcess` alone, which is many times as fast."""
        self.url = f"http://127.0.0.1:1/{self._version}".rstrip("/")
        try:
            yield self
        finally:
            self.store.close()

    @property
    def requests(self) -> int:
        return self.store.counters().get("requests", 0)

    @property
    def writes(self) -> int:
        return self.store.counters().get("writes", 0)


class TwinServer(Served):
    """Mailchimp's."""

    def __init__(self, state: Path | str, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        store = Store(state)
        super().__init__(store, create_app(store, self.faults, API_KEY), "3.0")

    # what a test looks at

    def member(self, email: str) -> Member | None:
        return self.store.member(DEFAULT_LIST, hash_of(email))

    def status(self, email: str) -> str | None:
        found = self.member(email)
        return found.status if found else None

    def put(self, email: str, status: str = "subscribed", by: str | None = None, **fields: Any) -> None:
        self.store.put_member(DEFAULT_LIST, Member(email, status, fields, by))

    def inside(self, segment: str) -> set[str]:
        segment_id = self.store.segment_named(DEFAULT_LIST, segment)
        return set() if segment_id is None else self.store.segment_ids(segment_id)

    def put_inside(self, segment: str, *emails: str) -> None:
        segment_id = self.store.segment_named(DEFAULT_LIST, segment) or self.store.add_segment(DEFAULT_LIST, segment)
        for email in emails:
            self.store.set_in_segment(segment_id, hash_of(email), True)


@dataclass
class Person:
    """A row of the members model, and her segments."""

    email: str
    verdict: str | None = "subscribe"
    segments: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    other_addresses: tuple[str, ...] = ()
    weighed_to: datetime | None = None
    """Up to when her consent has weighed what the destination says of her addresses."""


@dataclass
class World:
    """One warehouse, one twin."""

    settings: Settings
    twin: TwinServer
    transport: httpx.BaseTransport | None = None
    naps: list[float] = field(default_factory=list)
    sync_name: str = "mailchimp"
    timeout: float = 10.0

    def destination(self, api_key: str = API_KEY, list_id: str = DEFAULT_LIST) -> Mailchimp:
        return Mailchimp(
            api_key,
            list_id,
            base_url=self.twin.url,
            transport=self.transport,
            sleep=self.naps.append,
            timeout=self.timeout,
        )

    def desire(
        self, *people: Person, as_of: datetime = AS_OF, schema: str | None = None, refusals: Sequence[str] = ()
    ) -> None:
        """Replace the activation models."""
        write_models(self.settings, people, as_of, schema, refusals)

    def plan(self, **options: Any) -> Plan:
        target = self.destination()
        try:
            return plan(self.settings, self.sync_name, destination=target, **options)
        finally:
            target.close()

    def sync(self, **options: Any) -> SyncReport:
        target = options.pop("destination", None) or self.destination()
        options.setdefault("gate", open_gate)
        try:
            return sync(self.settings, self.sync_name, destination=target, **options)
        finally:
            target.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(self.settings) as con:
            return con.execute(sql, list(values)).fetchall()


def write_models(
    settings: Settings,
    people: Sequence[Person],
    as_of: datetime = AS_OF,
    schema: str | None = None,
    refusals: Sequence[str] = (),
) -> None:
    schema = schema or settings.schema
    with connect(settings, purpose="test") as con:
        con.execute("begin")
        con.execute(f'create schema if not exists "{schema}"')
        declared = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        con.execute(f'create or replace table "{schema}".sync_esp__members ({declared})')
        con.execute(
            f"""create or replace table "{schema}".sync_esp__segment_members (profile_id text, email text,
                subscriber_hash text, segment_name text, entered_at timestamp, consent_verdict text)"""
        )
        con.execute(
            f"""create or replace table "{schema}".sync_esp__addresses (profile_id text, email text,
                subscriber_hash text, is_refused boolean, suppressions_weighed_to timestamp)"""
        )
        addresses: list[tuple[str, str, bool, datetime | None]] = [(email, email, True, None) for email in refusals]
        for person in people:
            for email in (person.email, *person.other_addresses):
                addresses.append((person.email, email, person.verdict == "unsubscribe", person.weighed_to))
        for owner, email, is_refused, weighed_to in addresses:
            row = {
                "profile_id": "p" + hash_of(owner)[:8],
                "email": email,
                "subscriber_hash": hash_of(email),
                "is_refused": is_refused,
                "suppressions_weighed_to": weighed_to,
            }
            _insert(con, f'"{schema}".sync_esp__addresses', row)
        for person in people:
            row = {
                "profile_id": "p" + hash_of(person.email)[:8],
                "email": person.email,
                "subscriber_hash": hash_of(person.email),
                "consent_verdict": person.verdict,
                "consent_reason": "test",
                "as_of": as_of,
                **person.columns,
            }
            _insert(con, f'"{schema}".sync_esp__members', row)
            for segment in person.segments:
                _insert(
                    con,
                    f'"{schema}".sync_esp__segment_members',
                    {
                        **{k: row[k] for k in ("profile_id", "email", "subscriber_hash", "consent_verdict")},
                        "segment_name": segment,
                        "entered_at": as_of,
                    },
                )
        con.execute("commit")


def _insert(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" for _ in row)
    con.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))


def small_declaration(settings: Settings, **changes: Any) -> SyncDeclaration:
    """A sync of the company's own, called `small`, in `<home>/syncs`."""
    import yaml

    body: dict[str, Any] = {
        "name": "small",
        "destination": "mailchimp",
        "model": "sync_esp__members",
        "fields": [
            {"column": "first_name", "field": "FNAME", "name": "First Name", "fallback": "there"},
            {"column": "city", "field": "MW_CITY", "name": "City"},
        ],
        "segments": {"model": "sync_esp__segment_members"},
        **changes,
    }
    folder = settings.home / "syncs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yml").write_text(yaml.safe_dump(body, sort_keys=False))
    from reverse_etl.declaration import read_sync

    return read_sync(settings, "small")
