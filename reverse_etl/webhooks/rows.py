"""What a webhook becomes: rows of `raw.email_events` and `raw.consent_events`, and what could not become one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

EventKind = Literal["sent", "delivered", "open", "click", "bounce", "complaint", "unsubscribe"]
REFUSALS = frozenset({"complaint", "unsubscribe"})


@dataclass(frozen=True)
class EmailEvent:
    """A row of `raw.email_events`; instants are naive UTC."""

    event_id: str
    event: EventKind
    email: str
    occurred_at: datetime
    received_at: datetime
    message_id: str | None = None
    campaign_id: str | None = None
    link_url: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    is_provider_flagged_machine: bool | None = None
    bounce_type: Literal["hard", "soft"] | None = None


@dataclass(frozen=True)
class ConsentEvent:
    """A row of `raw.consent_events`, always a claim: who subscribed by the vendor's word alone proves nothing
    (`is_evidence` of `fct_consent` is false for the source `esp`), because imports and API calls subscribe too."""

    consent_event_id: str
    email: str
    evidence: str
    """JSON object: what the vendor says of it."""
    occurred_at: datetime
    received_at: datetime
    channel: Literal["email"] = "email"
    purpose: Literal["newsletter"] = "newsletter"
    state: Literal["granted"] = "granted"
    source: Literal["esp"] = "esp"
    wording_version: str | None = None


@dataclass(frozen=True)
class Unaddressed:
    """An event that names a person by the vendor's id alone: a row as soon as somebody looks her address up."""

    person_id: str
    event: EmailEvent

    def at(self, email: str) -> EmailEvent:
        """The row. Its event_id stays, so that looking up twice does no harm."""
        return replace(self.event, email=email)


@dataclass(frozen=True)
class NoRow:
    """An item that is understood, or of a type that is not known, and becomes no row."""

    what: str


Found = EmailEvent | ConsentEvent | Unaddressed | NoRow


@dataclass(frozen=True)
class Rejected:
    """An item that is malformed; `position` counts from 0."""

    position: int
    reason: str


@dataclass(frozen=True)
class WebhookBatch:
    """One delivery of a webhook. Items that are the same in every respect are in it once."""

    email_events: tuple[EmailEvent, ...]
    consent_events: tuple[ConsentEvent, ...]
    unaddressed: tuple[Unaddressed, ...]
    without_row: Mapping[str, int]
    """Type of event → how many became no row, unknown types included."""
    rejected: tuple[Rejected, ...]


def to_jsonl(rows: Iterable[EmailEvent] | Iterable[ConsentEvent]) -> str:
    """JSON lines as `mailwright load` reads them. Rows of one table to a file, and no file for no rows."""
    return "".join(json.dumps(asdict(row), default=_instant) + "\n" for row in rows)


def _instant(value: datetime) -> str:
    return value.isoformat() + "Z"
