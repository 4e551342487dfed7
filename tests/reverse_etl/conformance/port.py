"""What every vendor's world can do, in the same words: the one thing that the conformance suite speaks to.

A port joins a warehouse with hand-made activation tables, the engine, the destination's real code and the vendor's
twin. The tests know of no vendor: what is different is a capability (`capabilities.py`) or a neutral word here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import pytest

from reverse_etl import lease as leases
from reverse_etl import runner, sending
from reverse_etl.declaration import SyncDeclaration
from reverse_etl.destination import Destination
from reverse_etl.plan import Plan
from reverse_etl.report import SyncReport
from tests.reverse_etl.conformance.capabilities import CAPABILITIES, Capabilities
from tests.reverse_etl.contract import ContractTransport, contract_at_hand
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import InProcess, Person, Served, World, small_declaration
from warehouse.errors import MailwrightError
from warehouse.settings import Settings

What = Literal["any", "create", "update", "lower", "segment", "poll"]
"""Which requests a fault is for."""
Trouble = Literal["429", "403", "500", "close_before", "close_after", "timeout", "twice"]
"""The twins' faults, and those of the network (`InProcess`): accepted, then no answer in time; delivered twice."""

FAILPOINTS = ("sync.before_send", "sync.sent_unanswered", "sync.answered_uncommitted", "sync.committed")
POLLING = "sync.polled_uncommitted"

CITY = {"column": "city", "name": "City"}
FIRST_NAME = {"column": "first_name", "name": "First name", "on_null": "keep", "fallback": "there"}
PRICE = {"column": "rec_1_price", "name": "Price", "type": "number", "on_null": "keep"}
"""Fields of a neutral declaration: each port knows what they are called at its vendor."""


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


@dataclass(frozen=True)
class Held:
    """A person as the vendor has her: the engine's word for her status; non-empty fields by column of the model."""

    status: str
    fields: Mapping[str, Any]


class Port(ABC):
    """One vendor."""

    vendor: ClassVar[str]
    fields: ClassVar[Mapping[str, str]]
    """Column of the model → the vendor's field."""
    paths: ClassVar[Mapping[What, str]]
    twin: Any

    def __init__(self, settings: Settings, twin: Served, world: World, *, served: bool = False) -> None:
        self.settings, self.world = settings, world
        contract = contract_at_hand(self.vendor)
        self.network = InProcess(twin.door)
        if not served:
            world.transport = self.network
            if contract is not None:
                world.transport = ContractTransport(contract, lambda: self.network, outside=self.outside())
        elif contract is not None:
            world.transport = ContractTransport(contract, outside=self.outside())
        world.sync_name = "small"

    @classmethod
    def can(cls) -> Capabilities:
        return CAPABILITIES[cls.vendor]

    @classmethod
    def failpoints(cls) -> tuple[str, ...]:
        return (*FAILPOINTS, POLLING) if cls.can().has_jobs else FAILPOINTS

    @classmethod
    def outside(cls) -> Sequence[Any]:
        """Addresses that no specification holds."""
        return ()

    @classmethod
    @abstractmethod
    def make(cls, settings: Settings, state: str = ":memory:", *, served: bool = False) -> Port:
        """Over a twin of its own; `served`: one that is started, and reached over real HTTP."""

    # the engine

    def declare(self, *fields: Mapping[str, Any], **changes: Any) -> SyncDeclaration:
        """The sync `small` of these fields (first name and city, if none are given)."""
        chosen = fields or (FIRST_NAME, CITY)
        named = [{"field": self.fields.get(one["column"]), **one} for one in chosen]
        changes = {"addresses": "sync_esp__addresses", **changes}
        return small_declaration(self.settings, destination=self.vendor, fields=named, **changes)

    def desire(self, *people: Person, **options: Any) -> None:
        self.world.desire(*people, **options)

    def plan(self, **options: Any) -> Plan:
        return self.world.plan(**options)

    def sync(self, **options: Any) -> SyncReport:
        return self.world.sync(**options)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.world.rows(sql, *values)

    def destination(self) -> Destination:
        return self.world.destination()

    def settled(self) -> None:
        """One more run has nothing to do, and the ledger's state is the fold of its attempts."""
        report = self.sync()
        assert (report.is_complete, report.writes) == (True, 0), report
        self.check_ledger()

    def check_ledger(self) -> None:
        check_folds(self.rows)
        resent = self.rows(
            """with ordered as (
                   select *, lag(outcome) over w as before, lag(sent_hash) over w as hash_before
                   from ledger.sync_attempts
                   window w as (partition by object, record_key order by attempt_number)
               )
               select object, operation from ordered
               where outcome = 'sent' and before = 'confirmed' and hash_before = sent_hash
                   and operation not in ('create', 'add', 'lower')"""
        )
        assert resent == []  # what is confirmed is not sent again (memberships of people created anew apart)

    @contextmanager
    def killed_at(self, failpoint: str, passage: int = 1) -> Iterator[list[int]]:
        """The process 'dies' there: nothing is written afterwards, and the next run takes its lease over."""
        passed = [0]
        finish = runner._finish

        def reached(name: str) -> None:
            passed[0] += name == failpoint
            if name == failpoint and passed[0] >= passage:
                raise Killed

        def unless_killed(con: Any, lease: Any, status: str, message: str | None, report: str | None) -> None:
            if message != "Killed":
                finish(con, lease, status, message, report)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sending, "failpoint", reached)
            patch.setattr(runner, "_finish", unless_killed)
            yield passed

    def run(self, **options: Any) -> SyncReport | None:
        """A sync that may fail or be killed; the next one finds its lease as a dead process leaves it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leases, "_is_alive", lambda *_: False)
            try:
                return self.sync(**options)
            except (Killed, MailwrightError):
                return None

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Credentials as another process takes them, with the twin's URL."""

    # the vendor, in neutral words

    def fault(self, kind: Trouble, what: What = "any", times: int = 1, skip: int = 0) -> None:
        found: Any = self.network.faults if kind in {"timeout", "twice"} else self.twin.faults
        found.add(cast(Any, kind), times=times, skip=skip, path=self.paths[what])

    def clear_faults(self) -> None:
        self.network.faults.clear()
        self.twin.faults.clear()

    @property
    def writes(self) -> int:
        return self.twin.writes

    @property
    def requests(self) -> int:
        return self.twin.requests

    @property
    @abstractmethod
    def naps(self) -> list[float]:
        """Seconds that the client would have slept."""

    @abstractmethod
    def held(self, email: str) -> Held | None:
        """None: no such person there."""

    @abstractmethod
    def status(self, email: str) -> str | None:
        """Hers, or her address's: a word against mail may outlive the person."""

    @abstractmethod
    def put(self, email: str, status: str = "subscribed", **columns: Any) -> None:
        """Somebody else's doing; one of the statuses of `can()`. Fields by column."""

    @abstractmethod
    def edit(self, email: str, **columns: Any) -> None:
        """Somebody types over her fields there."""

    @abstractmethod
    def unsubscribe(self, email: str) -> None:
        """She, on her own."""

    @abstractmethod
    def bounce(self, email: str) -> None: ...

    @abstractmethod
    def complain(self, email: str) -> None:
        """She says that it is spam."""

    @abstractmethod
    def delete(self, email: str) -> None:
        """Somebody deletes her there."""

    @abstractmethod
    def inside(self, segment: str) -> set[str]:
        """Addresses of its members."""

    @abstractmethod
    def put_inside(self, segment: str, *emails: str) -> None: ...

    def city(self, email: str) -> Any:
        found = self.held(email)
        assert found is not None, email
        return found.fields.get("city")

    def jobs_take(self, looks: int) -> None:  # noqa: B027
        """How many looks jobs take from now on; nothing where there are none."""

    def archive(self, email: str) -> None:  # noqa: B027
        """Put aside there, where that exists."""

    def upset(self, quirk: int) -> None:  # noqa: B027
        """What else can go wrong at this vendor, for the next run; 0: nothing."""

    @property
    def raised(self) -> int:
        """How often somebody who had said no was subscribed, if the twin counts it."""
        return 0

    def time_passes(self) -> None:  # noqa: B027
        """Jobs end, whether anybody looks or not."""

    def look_at_everybody(self) -> None:
        """The next pull is a full one, as it is once a day."""
        self.rows("delete from ledger.remote_pulls")
