"""A small world for the Klaviyo syncs: a warehouse with hand-made activation tables, and the twin over loopback."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.plan import Plan, SyncReport
from reverse_etl.runner import plan, sync
from sandbox.twins.faults import Faults
from sandbox.twins.klaviyo import create_app
from sandbox.twins.klaviyo_jobs import unsubscribe
from sandbox.twins.klaviyo_store import DEFAULT_LIST, Profile, Store, now_text
from tests.reverse_etl.world import Person, open_gate, small_declaration, write_models
from warehouse.connection import connect
from warehouse.settings import Settings

API_KEY = "pk_0123456789abcdef0123456789abcdef"
NO_RATES: Mapping[str, tuple[int, int]] = {".*": (10**9, 10**9)}


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.naps: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


class KlaviyoServer:
    """The twin in a thread of this process, over real HTTP."""

    def __init__(
        self,
        state: Path | str,
        *,
        double_opt_in: bool = False,
        polls: int = 1,
        rates: Mapping[str, tuple[int, int]] = NO_RATES,
        clock: Clock | None = None,
    ) -> None:
        self.store = Store(state, double_opt_in=double_opt_in)
        self.faults = Faults()
        self.door = create_app(
            self.store, self.faults, API_KEY, polls=polls, rates=rates, clock=(clock or Clock()).read
        )
        config = uvicorn.Config(self.door, port=0, log_level="error", access_log=False, lifespan="off")  # pyright: ignore[reportArgumentType]
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> KlaviyoServer:
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.005)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/api"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.force_exit = self._server.should_exit = True
        self._thread.join(10)
        self.store.close()

    # what a test looks at, and does

    def profile(self, email: str) -> Profile | None:
        return self.store.profile(email)

    def consent(self, email: str) -> str | None:
        found = self.profile(email)
        return found.consent if found else None

    def city(self, email: str) -> Any:
        found = self.profile(email)
        return found.properties.get("mw_city") if found else None

    def put(self, email: str, consent: str = "SUBSCRIBED", *suppressions: str, **properties: Any) -> Profile:
        found = self.profile(email) or Profile(email)
        found.consent, found.consent_at = consent, now_text()
        found.suppressions = [{"reason": reason, "timestamp": now_text()} for reason in suppressions]
        found.properties |= properties
        return self.store.put_profile(found)

    def unsubscribe(self, email: str, reason: str = "UNSUBSCRIBE") -> None:
        found = self.profile(email)
        assert found is not None
        unsubscribe(found, reason)
        self.store.put_profile(found)

    def inside(self, name: str) -> set[str]:
        list_id = self.store.list_named(name)
        return set() if list_id is None else self.store.inside(list_id)

    def put_inside(self, name: str, *emails: str) -> None:
        list_id = self.store.list_named(name) or self.store.add_list(name, "single_opt_in")
        for email in emails:
            found = self.profile(email)
            assert found is not None
            self.store.put_in_list(list_id, found.id)

    @property
    def subscribers(self) -> set[str]:
        """Of the list that people subscribe to."""
        return self.store.inside(DEFAULT_LIST)

    @property
    def job_ids(self) -> list[str]:
        return [row["id"] for row in self.store._rows("select id from jobs where kind = 'import' order by seq")]


@dataclass
class KlaviyoWorld:
    """One warehouse, one twin."""

    settings: Settings
    twin: KlaviyoServer
    transport: httpx.BaseTransport | None = None
    clock: Clock = field(default_factory=Clock)
    sync_name: str = "small"
    timeout: float = 10.0

    def destination(self, api_key: str = API_KEY, list_id: str = DEFAULT_LIST) -> Klaviyo:
        return Klaviyo(
            api_key,
            list_id,
            base_url=self.twin.url,
            transport=self.transport,
            sleep=self.clock.sleep,
            clock=self.clock.read,
            now=self.clock.read,
            timeout=self.timeout,
        )

    def desire(self, *people: Person) -> None:
        """Replace the activation models."""
        write_models(self.settings, people)

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

    def requests(self, *needles: str) -> list[tuple[str, str, Any, int]]:
        """What went out (as far as a contract is in force) to paths that contain one of the words."""
        log = getattr(self.transport, "log", [])
        return [one for one in log if one[0] != "GET" and any(needle in one[1] for needle in needles)]


def klaviyo_declaration(settings: Settings, **changes: Any) -> SyncDeclaration:
    """The company's own sync `small`, to Klaviyo."""
    fields = [
        {"column": "first_name", "field": "first_name", "name": "First name", "fallback": "there"},
        {"column": "city", "field": "mw_city", "name": "City"},
    ]
    return small_declaration(settings, **{"destination": "klaviyo", "fields": fields, **changes})
