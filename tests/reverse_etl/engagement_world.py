"""One warehouse and the twin of any vendor, for pulls of engagement."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from ingest.load import load_pulled
from reverse_etl.destination import Destination
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.pull import PullReport, pull
from sandbox.twins.mail import Mail
from tests.reverse_etl import hubspot_world, klaviyo_world, sendgrid_world, world
from tests.reverse_etl.hubspot_world import HubSpotTwin
from tests.reverse_etl.klaviyo_world import KlaviyoServer
from tests.reverse_etl.sendgrid_world import SendGridTwin
from tests.reverse_etl.world import TwinServer
from warehouse.connection import connect
from warehouse.settings import Settings

NOW = datetime(2026, 6, 3, 12)
SENT_AT = NOW - timedelta(days=2)
VENDORS = ("mailchimp", "klaviyo", "sendgrid", "hubspot")
TOLD: dict[str, frozenset[str]] = {
    "mailchimp": frozenset({"sent", "open", "click", "bounce", "complaint", "unsubscribe"}),
    "klaviyo": frozenset({"delivered", "open", "click", "bounce", "complaint", "unsubscribe"}),
    "sendgrid": frozenset({"bounce", "complaint", "unsubscribe"}),
    "hubspot": frozenset({"sent", "delivered", "open", "click", "bounce", "complaint", "unsubscribe"}),
}
"""What a vendor tells when it is asked."""
COMMON = "bounce"
"""A kind that all tell, each by an operation that knows since when."""
Row = tuple[str, str, datetime]
"""(event, address, instant)"""
Spoil = Callable[[httpx.Request, Any], Any]


class Tampered(httpx.BaseTransport):
    """What comes back passes the contract first, and then through `spoil`, which may change it or do something
    between two pages."""

    def __init__(self, inner: httpx.BaseTransport, spoil: Spoil) -> None:
        self.inner, self.spoil = inner, spoil

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.inner.handle_request(request)
        response.read()
        if response.status_code != 200:
            return response
        headers = {"content-type": response.headers["content-type"]}
        return httpx.Response(200, headers=headers, content=json.dumps(self.spoil(request, response.json())))

    def close(self) -> None:
        self.inner.close()


def serve(kind: str, state: Path) -> Any:
    """The vendor's twin, to be entered."""
    made: dict[str, Callable[[Path], Any]] = {
        "mailchimp": TwinServer, "klaviyo": KlaviyoServer, "sendgrid": SendGridTwin, "hubspot": HubSpotTwin,
    }  # fmt: skip
    return made[kind](state)


@dataclass
class Engaged:
    """A vendor's twin, and the warehouse that asks it."""

    kind: str
    settings: Settings
    twin: Any
    transport: httpx.BaseTransport
    naps: list[float] = field(default_factory=list)
    now: datetime = NOW

    @property
    def mail(self) -> Mail:
        return self.twin.store.mail

    @property
    def told(self) -> frozenset[str]:
        return TOLD[self.kind]

    def destination(self, spoil: Spoil | None = None) -> Destination:
        transport = self.transport if spoil is None else Tampered(self.transport, spoil)
        given: dict[str, Any] = {"base_url": self.twin.url, "transport": transport, "sleep": self.naps.append}
        if self.kind == "mailchimp":
            return Mailchimp(world.API_KEY, world.DEFAULT_LIST, **given)
        if self.kind == "klaviyo":
            clock = klaviyo_world.Clock()
            given |= {"sleep": clock.sleep, "clock": clock.read}
            return Klaviyo(klaviyo_world.API_KEY, klaviyo_world.DEFAULT_LIST, **given)
        if self.kind == "sendgrid":
            return SendGrid(sendgrid_world.SENDGRID_KEY, **given)
        return HubSpot(hubspot_world.TOKEN, str(hubspot_world.DEFAULT_SUBSCRIPTION), **given)

    def plant(self, kind: str, email: str, hours: float, **detail: Any) -> Row:
        """Something that happened so many hours after the mailing went out."""
        at = SENT_AT + timedelta(hours=hours)
        if kind == "bounce":
            detail.setdefault("type", "hard")
        self.mail.plant(kind, email, at, **detail)
        return (kind, email, at)

    def pull(self, spoil: Spoil | None = None, **options: Any) -> PullReport:
        target = self.destination(spoil)
        try:
            options.setdefault("load", load_pulled)
            return pull(self.settings, self.kind, destination=target, now=lambda: self.now, **options)
        finally:
            target.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings, purpose="test") as con:
            return con.execute(sql).fetchall()

    def rows(self) -> Counter[Row]:
        """What lies in the raw table, each row as often as it does."""
        return Counter(self.query("select event, email, occurred_at from raw.email_events"))  # pyright: ignore[reportArgumentType, reportReturnType]

    def cursors(self) -> dict[str, datetime]:
        return dict(self.query("select stream, reached_at from ledger.engagement_cursors"))


@contextmanager
def engaged(kind: str, settings: Settings, state: Path, transport: httpx.BaseTransport) -> Iterator[Engaged]:
    with serve(kind, state) as twin:
        twin.store.mail.send("m1", SENT_AT)
        yield Engaged(kind, settings, twin, transport)
