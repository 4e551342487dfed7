"""What every destination offers, and what it answers: one outcome per record, whatever the vendor's style of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from reverse_etl.errors import RejectedClass

Operation = Literal["create", "update", "lower", "clear", "add", "remove"]
"""create: a person who is not there and may be mailed; update: fields of one who is; lower: end a subscription;
clear: empty our fields; add, remove: membership in a segment."""

OutcomeKind = Literal["confirmed", "rejected", "in_doubt"]


@dataclass(frozen=True)
class Outcome:
    """How one record ended. `in_doubt`: sent, and no answer came."""

    kind: OutcomeKind
    rejected_class: RejectedClass | None = None
    message: str = ""


CONFIRMED = Outcome("confirmed")


@dataclass(frozen=True)
class Record:
    """A person as the destination needs her; `key` is the ledger's record key and comes back in the outcomes."""

    key: str
    email: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchOutcome:
    """The outcome of a batch: `default` for every record that `exceptions` (by record key) does not name."""

    default: Outcome
    exceptions: Mapping[str, Outcome] = field(default_factory=dict)
    stop: Exception | None = None
    """Set when further batches cannot go through either (wrong key, destination down)."""
    unexpected: int = 0
    """Records for which the destination did something else than was asked (a person created by an update)."""

    def of(self, key: str) -> Outcome:
        return self.exceptions.get(key, self.default)


@dataclass(frozen=True)
class RemoteMember:
    """A person as the destination has her now; `fields` only when asked for."""

    subscriber_hash: str
    email: str
    status: str
    last_changed_at: datetime | None
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class FieldSpec:
    """A field that a sync writes."""

    key: str
    name: str
    type: str


@dataclass(frozen=True)
class SchemaReport:
    """Fields that had to be, or would have to be, created."""

    missing: tuple[FieldSpec, ...] = ()


@dataclass
class Traffic:
    """What a destination's client did, for reports."""

    requests: int = 0
    writes: int = 0
    throttled: int = 0
    retried: int = 0


class Destination(Protocol):
    """One account (and list) at one vendor.

    Calls raise `DestinationConfigError` or `DestinationDown`; sending never raises for a record, it says so in the
    outcome.
    """

    @property
    def key(self) -> str:
        """Which account and list this is, for the ledger; no secret."""
        ...

    @property
    def kind(self) -> str: ...

    @property
    def traffic(self) -> Traffic: ...

    @property
    def concurrency(self) -> int:
        """Batches that may be under way at once."""
        ...

    def batch_size(self, operation: Operation) -> int: ...

    def close(self) -> None: ...

    def check(self) -> None:
        """Is the key right, does the list exist?"""
        ...

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        """Fields that do not exist there yet; refuses what the vendor could not create."""
        ...

    def create_fields(self, fields: Sequence[FieldSpec]) -> None: ...

    def count_members(self) -> int:
        """How many members an unfiltered `pull_members` would bring (archived ones not counted)."""
        ...

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        """Pages of members, changed since `since` if given; archived ones included."""
        ...

    def list_segments(self, prefix: str) -> dict[str, str]:
        """Static segments whose name starts with `prefix`: name → id."""
        ...

    def create_segment(self, name: str) -> str: ...

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome: ...

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome: ...
