"""The model of events for sync tests: one row per event, beside the hand-made activation tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.reverse_etl.world import AS_OF, hash_of
from warehouse.connection import connect
from warehouse.settings import Settings

LATER = AS_OF + timedelta(hours=1)
"""as_of of a build after the first run, whose events are news."""
EVENTS: dict[str, Any] = {
    "model": "sync_esp__events",
    "include": [{"event": "entered_segment"}],
    "properties": [{"column": "segment_name", "name": "segment"}],
}


@dataclass(frozen=True)
class Happening:
    """A row of the model."""

    email: str
    segment: str = "vip"
    at: datetime = LATER
    verdict: str | None = "subscribe"
    name: str = "entered_segment"
    event_id: str = ""

    @property
    def key(self) -> str:
        return self.event_id or hash_of(f"{self.email}/{self.name}/{self.segment}/{self.at}")


def write_events(settings: Settings, happenings: Iterable[Happening] = ()) -> None:
    """Replace the model of events."""
    with connect(settings, purpose="test") as con:
        con.execute(f'create schema if not exists "{settings.schema}"')
        con.execute(
            f"""create or replace table "{settings.schema}".sync_esp__events (event_id text, profile_id text,
                email text, subscriber_hash text, consent_verdict text, event_name text, occurred_at timestamp,
                segment_name text, as_of timestamp)"""
        )
        for one in happenings:
            con.execute(
                f'insert into "{settings.schema}".sync_esp__events values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                [one.key, "p" + hash_of(one.email)[:8], one.email, hash_of(one.email), one.verdict, one.name, one.at,
                 one.segment, LATER],
            )  # fmt: skip


def states(world: Any) -> dict[str, str]:
    """Event → state in the ledger."""
    return dict(world.rows("select record_key, state from ledger.sync_state where object = 'event'"))
