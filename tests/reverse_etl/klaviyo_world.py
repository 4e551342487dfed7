"""A small world for the Klaviyo syncs: a warehouse with hand-made activation tables, and the twin over loopback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destinations.klaviyo import Klaviyo
from sandbox.twins.faults import Faults
from sandbox.twins.klaviyo import create_app
from sandbox.twins.klaviyo_jobs import unsubscribe
from sandbox.twins.klaviyo_store import DEFAULT_LIST, Profile, Store, now_text
from tests.reverse_etl.world import Served, World, small_declaration
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


class KlaviyoServer(Served):
    """The twin, and what a test looks at."""

    store: Store

    def __init__(
        self,
        state: Path | str,
        *,
        double_opt_in: bool = False,
        polls: int = 1,
        rates: Mapping[str, tuple[int, int]] = NO_RATES,
        clock: Clock | None = None,
    ) -> None:
        self.faults = Faults()
        store = Store(state, double_opt_in=double_opt_in)
        door = create_app(store, self.faults, API_KEY, polls=polls, rates=rates, clock=(clock or Clock()).read)
        super().__init__(store, door, "api")

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
class KlaviyoWorld(World):
    """One warehouse, one twin of Klaviyo."""

    twin: KlaviyoServer  # pyright: ignore[reportIncompatibleVariableOverride]
    clock: Clock = field(default_factory=Clock)
    sync_name: str = "small"

    def destination(self, api_key: str = API_KEY, list_id: str = DEFAULT_LIST) -> Klaviyo:  # pyright: ignore[reportIncompatibleMethodOverride]
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
