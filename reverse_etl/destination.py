"""What every destination offers, and what it answers: one outcome per record, whatever the vendor's style of errors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from reverse_etl.errors import RejectedClass

if TYPE_CHECKING:
    from reverse_etl.engagement import EngagementPage, Since

Operation = Literal["create", "update", "lower", "clear", "add", "remove", "event"]
"""create: a person who is not there and may be mailed; update: fields of one who is; lower: end a subscription;
clear: empty our fields; add, remove: membership in a segment; event: something that happened to a person."""

OutcomeKind = Literal["confirmed", "rejected", "in_doubt", "accepted"]


@dataclass(frozen=True)
class Outcome:
    """How one record ended. `in_doubt`: sent, and no answer came; `accepted`: the destination has a job for it, and the
    job's end decides."""

    kind: OutcomeKind
    rejected_class: RejectedClass | None = None
    message: str = ""


CONFIRMED = Outcome("confirmed")


@dataclass(frozen=True)
class Record:
    """A person as the destination needs her; `key` is the ledger's record key and comes back in the outcomes."""

    key: str
    email: str
    """Empty where a record is only asked about (`poll`)."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    remote_id: str | None = None
    """The destination's id of her, as last pulled."""
    subscriber_hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Event(Record):
    """Something that happened to a person; `key` is the event's own, `fields` are its properties."""

    name: str
    """As the destination calls it."""
    occurred_at: datetime
    may_be_there: bool = False
    """Whether it was sent before, and may have arrived."""


@dataclass(frozen=True)
class BatchOutcome:
    """The outcome of a batch: `default` for every record that `exceptions` (by record key) does not name."""

    default: Outcome
    exceptions: Mapping[str, Outcome] = field(default_factory=dict)
    stop: Exception | None = None
    """Set when further batches cannot go through either (wrong key, destination down)."""
    job: str | None = None
    """The destination's job, where records are `accepted`; what `poll` takes."""
    awaits_confirmation: bool = False
    """Whom it created is subscribed only once she answers the destination's mail (double opt-in)."""
    left: frozenset[str] = frozenset()
    """Keys of records that this is no outcome of: their job is looked at again."""
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
    remote_id: str | None = None
    """The destination's own id of her, where writing needs one."""
    is_counted: bool = True
    """Whether `count_members` counts her: not who is archived, or known there by a suppression alone."""
    segment_ids: frozenset[str] | None = None
    """The segments that she is in; only where asked for (`read_back`), and where the destination shows them."""


@dataclass(frozen=True)
class FieldSpec:
    """A field that a sync writes."""

    key: str
    name: str
    type: str
    is_emptied: bool = False
    """Whether the sync may empty it: not every vendor can."""
    max_length: int | None = None
    """The most that the vendor takes, in bytes of UTF-8, if that is known; only of `new_field`."""


def free_name(column: str, taken: Collection[str], prefix: str = "mw_") -> str:
    """A name of ours for a column's field, where names may be long; not one of those that are taken."""
    name, number = prefix + column, 2
    while name in taken:
        name, number = f"{prefix}{column}_{number}", number + 1
    return name


def label_of(column: str) -> str:
    """What marketers read of a column: `last_purchase_on` → Last purchase on."""
    return column.replace("_", " ").strip().capitalize()


@dataclass(frozen=True)
class SchemaReport:
    """Fields that had to be, or would have to be, created."""

    missing: tuple[FieldSpec, ...] = ()


@dataclass(frozen=True)
class Jobs:
    """How a destination's jobs are waited for."""

    most_open: int
    pause: float
    """Seconds between two looks at the open ones."""
    patience: float
    """Seconds without any job ending after which a run stops waiting: the next run looks first."""


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

    @property
    def jobs(self) -> Jobs | None:
        """How its jobs are waited for; None: every call ends with its answer."""
        ...

    def batch_size(self, operation: Operation) -> int: ...

    @property
    def emptying_size(self) -> int | None:
        """Size of a batch of updates that empty a field, if those take so long that they go apart from the others."""
        ...

    def bytes_of(self, operation: Operation, record: Record) -> int:
        """What a record adds to the body of a batch."""
        ...

    def most_bytes(self, operation: Operation) -> tuple[int | None, int | None]:
        """(of a batch's records together, of one record); None: no such limit."""
        ...

    def close(self) -> None: ...

    def check(self) -> None:
        """Is the key right, does the list exist?"""
        ...

    def list_fields(self) -> list[FieldSpec]:
        """Fields that are there now and that a sync may write, with the types that a declaration gives them."""
        ...

    def new_field(self, column: str, kind: str, taken: Collection[str]) -> FieldSpec:
        """What a field for this column would be, by the vendor's rules for names; not one of those that are taken.

        `is_emptied` is False where the vendor could not empty a field of that type.
        """
        ...

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        """Fields that do not exist there yet; refuses what the vendor could not create."""
        ...

    def create_fields(self, fields: Sequence[FieldSpec]) -> None: ...

    def count_members(self) -> int | None:
        """How many members an unfiltered `pull_members` would bring (archived ones not counted); None: it does not
        say."""
        ...

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        """Pages of members, changed since `since` if given; archived ones included."""
        ...

    def read_back(self, records: Sequence[Record], fields: Sequence[str]) -> list[RemoteMember]:
        """These people as they are there now, with these fields and, if it shows them, `segment_ids`;
        who is not there is left out."""
        ...

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        """What people did with its mail, as far as it can be asked for, stream by stream; `now` (naive UTC) is when
        it is reported."""
        ...

    def list_segments(self, prefix: str) -> dict[str, str]:
        """Static segments whose name starts with `prefix`: name → id."""
        ...

    def create_segment(self, name: str) -> str: ...

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome: ...

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome: ...

    @property
    def events_are_keyed(self) -> bool | None:
        """Whether an event that is sent twice with the same key arrives once; None: it takes no events."""
        ...

    def check_events(self, names: Sequence[str], properties: Sequence[str]) -> None:
        """Raises DestinationConfigError for names that its events and their properties cannot have."""
        ...

    def send_events(self, events: Sequence[Event]) -> BatchOutcome:
        """Where events are not keyed, an event goes out once per call, whatever becomes of it: `in_doubt` unless it
        certainly did not take effect, in which case it is rejected as retryable."""
        ...

    def still_running(self, jobs: Sequence[str]) -> Collection[str]:
        """Those of the jobs that certainly run, asked for in few requests: they need no look of their own. None, where
        it cannot be asked so."""
        ...

    def poll(self, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        """How a job ended, or None while it runs. Its records have a subscriber_hash, and perhaps no address.

        An outcome may be `accepted` again, with the job that follows. A job that is not known any more leaves its
        records in doubt. Several jobs are looked at at once, each by one thread at a time.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass until the next look at a job."""
        ...
