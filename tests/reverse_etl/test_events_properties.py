"""Random histories of events, faults and kills: each event arrives at most once, and where it has a key, once.

A run may be killed anywhere, any answer may be lost or refused, what was accepted may be processed late. Afterwards,
where the destination knows events by our key, each one of somebody who may be mailed is there exactly once; where it
does not, none is there twice, and what is not known to be there or not stays `in_doubt`. Nobody without consent ever
gets one, and nobody before she is there.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl import lease as leases
from reverse_etl import runner, sending
from tests.reverse_etl.events_world import EVENTS, LATER, Happening, states, write_events
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person, TwinServer, World, hash_of, small_declaration, write_models
from warehouse.connection import connect
from warehouse.errors import MailwrightError
from warehouse.settings import Settings
from warehouse.state import ensure_state

EMAILS = [f"p{n}@shop.test" for n in range(3)]
FAILPOINTS = ("sync.before_send", "sync.sent_unanswered", "sync.answered_uncommitted", "sync.committed")
LEDGER = ("sync_runs", "sync_leases", "sync_plans", "sync_plan_items", "sync_attempts", "sync_state", "outbox",
          "outbox_baselines", "remote_members", "remote_pulls", "remote_segments", "remote_suppressions")  # fmt: skip


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


@dataclass(frozen=True)
class Step:
    """What happened since the last run, and the bad luck of the one that tells it."""

    verdicts: tuple[str, ...]
    news: tuple[tuple[int, str], ...]
    """(whose, which segment)."""
    leaves: str | None
    """Who unsubscribes there before the run."""
    fault: str | None
    path: str
    skip: int
    kill_at: str | None
    kill_after: int
    polls: int
    """How late what was accepted is processed, where there are jobs."""


_step = st.builds(
    Step,
    verdicts=st.tuples(*(st.sampled_from(["subscribe", "subscribe", "subscribe", "update_only", "unsubscribe"]),) * 3),
    news=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["vip", "cart"])), max_size=4, unique=True).map(tuple),
    leaves=st.one_of(st.none(), st.none(), st.sampled_from(EMAILS)),
    fault=st.sampled_from([None, "429", "500", "close_before", "close_after"]),
    path=st.sampled_from(["event", "event", "/events?$", ""]),
    skip=st.integers(0, 3),
    kill_at=st.sampled_from([None, *FAILPOINTS]),
    kill_after=st.integers(0, 4),
    polls=st.sampled_from([0, 1, 30]),
)
_history = st.lists(_step, min_size=1, max_size=4)


@dataclass
class Lab:
    """One warehouse and twin for all examples; each starts from an empty ledger, and two members."""

    world: Any
    patch: pytest.MonkeyPatch

    def reset(self) -> None:
        with connect(self.world.settings) as con:
            ensure_state(con, self.world.settings)
            for table in LEDGER:
                con.execute(f"delete from ledger.{table}")
        self.world.twin.faults.clear()
        self.empty()
        for email in EMAILS[:2]:
            self.world.twin.put(email)
        write_models(self.world.settings, [Person(email, "update_only") for email in EMAILS[:2]])
        write_events(self.world.settings)
        self.world.sync()

    def empty(self) -> None:
        raise NotImplementedError

    def leave(self, email: str) -> bool:
        """She unsubscribes there, if she is there."""
        raise NotImplementedError

    def late(self, polls: int) -> None:
        """Where there are jobs."""

    def arrived(self) -> list[tuple[str, str]]:
        """(whose, segment/number) of all that is there, once everything accepted is processed."""
        raise NotImplementedError

    def run(self, step: Step) -> None:
        passed = [0]

        def failpoint(name: str) -> None:
            if name == step.kill_at:
                passed[0] += 1
                if passed[0] > step.kill_after:
                    raise Killed

        faults = self.world.twin.faults
        self.late(step.polls)
        if step.fault:
            faults.add(step.fault, times=-1, skip=step.skip, method="POST", path=step.path)
        self.patch.setattr(sending, "failpoint", failpoint)
        try:
            self.world.sync()
        except (Killed, MailwrightError):
            pass
        finally:
            faults.clear()
            self.patch.setattr(sending, "failpoint", lambda _: None)


class MailchimpLab(Lab):
    def empty(self) -> None:
        for table in ("members", "segments", "segment_members", "forgotten", "events"):
            self.world.twin.store._con.execute(f"delete from {table}")

    def leave(self, email: str) -> bool:
        is_there = self.world.twin.status(email) == "subscribed"
        if is_there:
            self.world.twin.put(email, "unsubscribed", "member")
        return is_there

    def arrived(self) -> list[tuple[str, str]]:
        people = {hash_of(email): email for email in EMAILS}
        return [(people[row["person"]], row["properties"]["segment"]) for row in self.world.twin.store.events.of()]


class KlaviyoLab(Lab):
    def empty(self) -> None:
        self.world.twin.store.empty()

    def leave(self, email: str) -> bool:
        is_there = self.world.twin.consent(email) == "SUBSCRIBED"
        if is_there:
            self.world.twin.unsubscribe(email)
        return is_there

    def late(self, polls: int) -> None:
        self.world.twin.door.worker.polls = polls

    def arrived(self) -> list[tuple[str, str]]:
        while self.world.twin.store.open_jobs():
            self.world.twin.door.worker.tick()
        people = {profile.id: profile.email for profile in self.world.twin.store.profiles()}
        return [(people[row["person"]], row["properties"]["segment"]) for row in self.world.twin.store.events.of()]


@pytest.fixture(scope="module", params=["mailchimp", "klaviyo"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="mailwright_lab_"))
    installation = Settings(home=folder / "home", target="prod", lock_timeout_seconds=30)
    finish = runner._finish

    def unless_killed(con: Any, lease: Any, status: str, message: str | None, report: str | None) -> None:
        if message != "Killed":
            finish(con, lease, status, message, report)

    options = {"events": EVENTS, "guards": {"refuse_empty_source": False, "min_records": 1000}}
    is_mailchimp = request.param == "mailchimp"
    made = TwinServer(folder / "twin.sqlite") if is_mailchimp else KlaviyoServer(folder / "twin.sqlite")
    with made as twin, connect(installation), pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_finish", unless_killed)
        patch.setattr(leases, "_is_alive", lambda *_: False)
        patch.setattr(runner, "MOST_PASSES", 2)
        if is_mailchimp:
            small_declaration(installation, **options)
            yield MailchimpLab(World(installation, twin, sync_name="small"), patch)  # pyright: ignore[reportArgumentType]
        else:
            klaviyo_declaration(installation, **options)
            yield KlaviyoLab(KlaviyoWorld(installation, twin), patch)  # pyright: ignore[reportArgumentType]


@settings(
    max_examples=int(os.environ.get("MAILWRIGHT_EXAMPLES", "8")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=_history)
def test_any_history_tells_each_event_once(lab: Lab, history: list[Step]) -> None:
    world = lab.world
    lab.reset()
    known: list[Happening] = []
    left: set[str] = set()
    for number, step in enumerate(history):
        if step.leaves is not None and lab.leave(step.leaves):
            left.add(step.leaves)
        before = Counter(lab.arrived())
        known += [
            Happening(EMAILS[who], f"{segment}{number}", LATER + timedelta(minutes=number))
            for who, segment in step.news
        ]
        verdict_of = dict(zip(EMAILS, step.verdicts, strict=True))
        write_models(world.settings, [Person(email, verdict) for email, verdict in verdict_of.items()], LATER)
        write_events(world.settings, [replace(one, verdict=verdict_of[one.email]) for one in known])
        lab.run(step)
        told = {email for email, _ in Counter(lab.arrived()) - before}
        assert told <= {email for email, verdict in verdict_of.items() if verdict == "subscribe"} - left
    assert max(Counter(lab.arrived()).values(), default=1) == 1
    write_models(world.settings, [Person(email) for email in EMAILS], LATER)
    write_events(world.settings, known)
    lab.late(1)  # a job that takes too long is left to the next run, and the next
    report = world.sync()
    assert report.is_complete, report
    assert world.sync().writes == 0
    check_folds(world.rows)
    there = Counter(lab.arrived())
    ended = {row.key: row for row in known}
    state = states(world)
    reachable = {row for row in known if row.email not in left and row.email not in _lowered(world)}
    if world.destination().events_are_keyed:
        assert there == Counter({(row.email, row.segment): 1 for row in reachable} | there)
        assert max(there.values(), default=1) == 1
    else:
        assert max(there.values(), default=1) == 1
        doubtful = {(ended[key].email, ended[key].segment) for key, found in state.items() if found == "in_doubt"}
        assert {(row.email, row.segment) for row in reachable} <= set(there) | doubtful
        assert report.events_in_doubt == len(doubtful)
    assert set(state.values()) <= {"confirmed", "in_doubt", "rejected"}
    for key, found in state.items():
        if found == "confirmed":
            assert there[ended[key].email, ended[key].segment] == 1


def _lowered(world: Any) -> set[str]:
    """Whose subscription we ended on the way: they are not raised again."""
    hashes = {h for (h,) in world.rows("select record_key from ledger.sync_attempts where operation = 'lower'")}
    return {email for email in EMAILS if hash_of(email) in hashes}
