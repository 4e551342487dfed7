"""Random histories of wishes, faults, kills and acts at Klaviyo: it always ends up as desired, and never worse.

After each history one good run converges and the next writes nothing; what was confirmed was never sent again
unchanged; nobody without evidence was created or subscribed, nobody was raised; foreign things stayed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl import lease as leases
from reverse_etl import runner
from sandbox.twins.klaviyo_store import DEFAULT_LIST
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.test_ledger_properties import _nothing_confirmed_was_resent
from tests.reverse_etl.world import Person
from warehouse.connection import connect
from warehouse.errors import MailwrightError
from warehouse.settings import Settings

EMAILS = [f"p{n}@shop.test" for n in range(4)]
FAILPOINTS = (
    "sync.before_send",
    "sync.sent_unanswered",
    "sync.answered_uncommitted",
    "sync.committed",
    "sync.polled_uncommitted",
)
Marketing = tuple[str, tuple[str, ...]]


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


@dataclass(frozen=True)
class Step:
    """One wish, somebody's act at Klaviyo before it, and the bad luck of the run that carries it out."""

    people: tuple[tuple[str, str | None, tuple[str, ...]] | None, ...]
    """Of each address: (verdict, city, segments), or None for no row."""
    act: tuple[str, str] | None
    fault: str | None
    path: str
    skip: int
    kill_at: str | None
    kill_after: int
    polls: int


_person = st.tuples(
    st.sampled_from(["subscribe", "update_only", "unsubscribe"]),
    st.sampled_from(["A", "B", None]),
    st.lists(st.sampled_from(["vip", "cart"]), unique=True, max_size=2).map(lambda s: tuple(sorted(s))),
)
_step = st.builds(
    Step,
    people=st.tuples(*(st.one_of(_person, st.none()) for _ in EMAILS)),
    act=st.one_of(
        st.none(),
        st.tuples(st.sampled_from(EMAILS), st.sampled_from(["unsubscribe", "complain", "bounce", "sign_up", "order"])),
    ),
    fault=st.sampled_from([None, "429", "500", "close_before", "close_after"]),
    path=st.sampled_from(["import-jobs$", "import-jobs/", "subscription-bulk", "relationships", "profile-import", ""]),
    skip=st.integers(0, 3),
    kill_at=st.sampled_from([None, *FAILPOINTS]),
    kill_after=st.integers(0, 3),
    polls=st.integers(0, 2),
)


@dataclass
class Lab:
    """One warehouse and twin for all examples; each starts from an empty ledger and an empty account."""

    world: KlaviyoWorld
    patch: pytest.MonkeyPatch

    def reset(self) -> None:
        with connect(self.world.settings) as con:
            for table in ("sync_runs", "sync_leases", "sync_plans", "sync_plan_items", "sync_attempts", "sync_state",
                          "remote_members", "remote_pulls", "remote_segments", "remote_suppressions"):  # fmt: skip
                con.execute(f"delete from ledger.{table}")
        twin = self.world.twin
        twin.faults.clear()
        twin.store.empty()
        twin.put("theirs@shop.test", theirs="kept")
        twin.put("p0@shop.test", theirs="kept")
        twin.put_inside("mw:vip", "theirs@shop.test")
        twin.put_inside("Simulated newsletter", "theirs@shop.test", "p0@shop.test")

    def let_jobs_end(self) -> None:
        """Time passes, and nobody looks."""
        while self.world.twin.store.open_jobs():
            self.world.twin.door.worker.tick()

    def run(self, step: Step) -> None:
        passed = [0]

        def failpoint(name: str) -> None:
            if name == step.kill_at:
                passed[0] += 1
                if passed[0] > step.kill_after:
                    raise Killed

        twin = self.world.twin
        twin.door.worker.polls = step.polls
        if step.fault:
            twin.faults.add(step.fault, times=-1, skip=step.skip, path=step.path)  # pyright: ignore[reportArgumentType]
        self.patch.setattr(runner, "failpoint", failpoint)
        try:
            self.world.sync()
        except (Killed, MailwrightError):
            pass
        finally:
            twin.faults.clear()
            self.patch.setattr(runner, "failpoint", lambda _: None)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="mailwright_lab_"))
    installation = Settings(home=folder / "home", target="prod", lock_timeout_seconds=30)
    finish = runner._finish

    def unless_killed(con: object, lease: object, status: str, message: str | None, report: str | None) -> None:
        if message != "Killed":
            finish(con, lease, status, message, report)  # pyright: ignore[reportArgumentType]

    with (
        KlaviyoServer(folder / "twin.sqlite") as twin,
        connect(installation),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(runner, "_finish", unless_killed)
        patch.setattr(leases, "_is_alive", lambda *_: False)
        world = KlaviyoWorld(installation, twin)
        klaviyo_declaration(installation, guards={"refuse_empty_source": False, "min_records": 1000})
        world.desire(Person("p0@shop.test"))
        world.sync()
        yield Lab(world, patch)


def _marketing(world: KlaviyoWorld, email: str) -> Marketing | None:
    found = world.twin.profile(email)
    return None if found is None else (found.consent, tuple(sorted(s["reason"] for s in found.suppressions)))


def _act_out(world: KlaviyoWorld, email: str, what: str) -> None:
    twin = world.twin
    before = _marketing(world, email)
    if what in {"unsubscribe", "complain"} and before:
        twin.unsubscribe(email, "UNSUBSCRIBE" if what == "unsubscribe" else "SPAM_COMPLAINT")
    elif what == "bounce" and before:
        twin.put(email, before[0], *{*before[1], "HARD_BOUNCE"})
    elif what == "sign_up" and before in (None, ("NEVER_SUBSCRIBED", ())):
        twin.put(email)
    elif what == "order" and before is None:
        twin.put(email, "NEVER_SUBSCRIBED")


def _check(world: KlaviyoWorld, step: Step, may_be_subscribed: set[str]) -> None:
    for email, row in zip(EMAILS, step.people, strict=True):
        marketing, found = _marketing(world, email), world.twin.profile(email)
        can_be_mailed = marketing == ("SUBSCRIBED", ())
        if can_be_mailed:
            assert email in may_be_subscribed
        if row is None:
            if found is not None and (can_be_mailed or marketing == ("NEVER_SUBSCRIBED", ())):
                assert "mw_city" not in found.properties
            continue
        verdict, city, segments = row
        if verdict == "unsubscribe":
            assert not can_be_mailed
            assert marketing != ("NEVER_SUBSCRIBED", ())
        elif found is None:
            assert verdict == "update_only"
        elif can_be_mailed or marketing == ("NEVER_SUBSCRIBED", ()):
            assert can_be_mailed or verdict == "update_only"
            assert found.properties.get("mw_city") == city
            assert found.attributes.get("first_name") == "there"
        for name in ("vip", "cart"):
            is_inside = email in world.twin.inside(f"mw:{name}")
            assert is_inside == (can_be_mailed and name in segments and verdict != "unsubscribe")
    theirs = world.twin.profile("theirs@shop.test")
    assert theirs is not None
    assert (_marketing(world, "theirs@shop.test"), theirs.properties) == (("SUBSCRIBED", ()), {"theirs": "kept"})
    assert theirs.attributes == {}
    assert "theirs@shop.test" in world.twin.inside("mw:vip")
    assert "theirs@shop.test" in world.twin.subscribers
    first = world.twin.profile("p0@shop.test")
    assert first is not None
    assert first.properties["theirs"] == "kept"
    assert "p0@shop.test" in world.twin.subscribers  # a withdrawal is no matter of a list
    assert world.twin.store.list_row(DEFAULT_LIST) is not None


@settings(
    max_examples=int(os.environ.get("MAILWRIGHT_EXAMPLES", "15")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(_step, min_size=1, max_size=4))
def test_any_history_converges(lab: Lab, history: list[Step]) -> None:
    world = lab.world
    lab.reset()
    may_be_subscribed = {"p0@shop.test"}
    for step in history:
        if step.act is not None:
            lab.let_jobs_end()  # else a subscription that was asked for would lift what she says after it
            had = _marketing(world, step.act[0])
            _act_out(world, *step.act)
            if step.act[1] == "sign_up" and had in (None, ("NEVER_SUBSCRIBED", ())):
                may_be_subscribed.add(step.act[0])
        before = {email: _marketing(world, email) for email in EMAILS}
        people = [
            Person(email, row[0], row[2], {"city": row[1]})
            for email, row in zip(EMAILS, step.people, strict=True)
            if row is not None
        ]
        may_be_subscribed |= {p.email for p in people if p.verdict == "subscribe"}
        world.desire(*people)
        last = world.twin.store._rows("select coalesce(max(seq), 0) as n from jobs")[0]["n"]
        lab.run(step)
        rows = world.twin.store._rows("select body from jobs where kind = 'subscribe' and seq > ?", last)
        asked = {email for row in rows for email in json.loads(row["body"])["emails"]}
        assert asked <= {p.email for p in people if p.verdict == "subscribe"}  # whatever she had said before
        for email, was in before.items():
            now = _marketing(world, email)
            if was is None:
                assert now is None or email in may_be_subscribed
            elif was[1] or was[0] == "UNSUBSCRIBED":
                assert now is not None
                assert now[0] == was[0] or now[0] == "UNSUBSCRIBED"
                assert set(was[1]) <= set(now[1])  # never raised, whatever went wrong
            elif was[0] == "NEVER_SUBSCRIBED" and now == ("SUBSCRIBED", ()):
                assert email in may_be_subscribed
    report = world.sync()
    assert report.is_complete, report
    lab.let_jobs_end()
    _check(world, history[-1], may_be_subscribed)
    assert world.sync().writes == 0
    _nothing_confirmed_was_resent(world)  # pyright: ignore[reportArgumentType]
    _ledger_folds(world)  # pyright: ignore[reportArgumentType]
