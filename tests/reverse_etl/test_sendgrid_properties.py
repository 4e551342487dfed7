"""Random histories on SendGrid's twin: wishes, faults, troubles of jobs, kills, and what people do there meanwhile.

After each history, whatever happened in it, good runs converge and the next writes nothing; nobody without evidence was
created, nobody who was suppressed was created or written to, no suppression was lifted; foreign things stayed; what was
confirmed was not sent again unchanged.
"""

from __future__ import annotations

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
from reverse_etl.destination import Jobs
from reverse_etl.destinations.sendgrid import SendGrid
from sandbox.twins import sendgrid_rules
from tests.reverse_etl.conftest import sendgrid_transport
from tests.reverse_etl.sendgrid_world import SendGridTwin, SendGridWorld, declare
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.test_ledger_properties import Killed, Wish, _nothing_confirmed_was_resent, _people
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


@dataclass(frozen=True)
class Luck:
    """One run's bad luck."""

    fault: str | None
    path: str
    skip: int
    trouble: str | None
    looks: int
    kill_at: str | None
    kill_after: int


@dataclass(frozen=True)
class Act:
    """Somebody does something at the destination."""

    email: str
    what: str


_person = st.tuples(
    st.sampled_from(["subscribe", "update_only", "unsubscribe"]),
    st.sampled_from(["A", "B", None]),
    st.lists(st.sampled_from(["vip", "cart"]), unique=True, max_size=2).map(lambda s: tuple(sorted(s))),
)
_wish = st.tuples(*(st.one_of(_person, st.none()) for _ in EMAILS)).map(Wish)
_luck = st.builds(
    Luck,
    fault=st.sampled_from([None, None, "429", "500", "close_before", "close_after"]),
    path=st.sampled_from(["marketing/contacts$", "lists/.*/contacts$", "suppressions/global", "imports/", ""]),
    skip=st.integers(0, 3),
    trouble=st.sampled_from([None, None, "failed", "forgotten", "late", "no_file", "other_file", "odd_file"]),
    looks=st.sampled_from([0, 1, 2, 10]),  # ten outlive the patience of these runs
    kill_at=st.sampled_from([None, None, *FAILPOINTS]),
    kill_after=st.integers(0, 3),
)
_act = st.builds(
    Act,
    st.sampled_from(EMAILS),
    st.sampled_from(["unsubscribe", "complain", "bounce", "sign_up", "delete", "get_identifier"]),
)
_history = st.lists(st.tuples(_wish, st.one_of(st.none(), _act), _luck), min_size=1, max_size=4)


@dataclass
class Lab:
    """One warehouse and twin for all examples; each starts from an empty ledger and an empty account."""

    world: SendGridWorld
    patch: pytest.MonkeyPatch

    def reset(self) -> None:
        with connect(self.world.settings) as con:
            for table in ("sync_runs", "sync_leases", "sync_plans", "sync_plan_items", "sync_attempts", "sync_state",
                          "remote_members", "remote_pulls", "remote_segments", "remote_suppressions"):  # fmt: skip
                con.execute(f"delete from ledger.{table}")
        twin = self.world.twin
        for table in ("contacts", "lists", "list_contacts", "jobs", "exports", "files", "suppressions"):
            twin.store._rows(f"delete from {table}")
        twin.faults.clear()
        twin.app.troubles.clear()
        twin.store.job_looks = 1
        twin.put("theirs@shop.test", first_name="Theirs")
        twin.put_inside("mw:vip", "theirs@shop.test")
        twin.put_inside("newsletter", "theirs@shop.test")
        twin.put("p0@shop.test", last_name="Family")

    def run(self, luck: Luck) -> None:
        passed = [0]

        def failpoint(name: str) -> None:
            if name == luck.kill_at:
                passed[0] += 1
                if passed[0] > luck.kill_after:
                    raise Killed

        twin = self.world.twin
        twin.store.job_looks = luck.looks
        if luck.fault:
            twin.faults.add(luck.fault, times=-1, skip=luck.skip, path=luck.path)  # pyright: ignore[reportArgumentType]
        if luck.trouble:
            twin.app.troubles.append(luck.trouble)  # pyright: ignore[reportArgumentType]
        self.patch.setattr(runner, "failpoint", failpoint)
        try:
            self.world.sync()
        except (Killed, MailwrightError):
            pass
        finally:
            twin.faults.clear()
            twin.app.troubles.clear()
            twin.store.job_looks = 1
            self.patch.setattr(runner, "failpoint", lambda _: None)

    def time_passes(self) -> None:
        """Until the next run, jobs that nobody knows of have ended; those that are known may still be under way."""
        for number in self.world.twin.store.unasked():
            sendgrid_rules.end_jobs(self.world.twin.store, number)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="mailwright_lab_"))
    installation = Settings(home=folder / "home", target="prod", lock_timeout_seconds=30)
    finish = runner._finish

    def unless_killed(con: object, lease: object, status: str, message: str | None, report: str | None) -> None:
        if message != "Killed":
            finish(con, lease, status, message, report)  # pyright: ignore[reportArgumentType]

    with (
        SendGridTwin(folder / "twin.sqlite") as twin,
        connect(installation),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(runner, "_finish", unless_killed)
        patch.setattr(leases, "_is_alive", lambda *_: False)
        patch.setattr(runner, "MOST_PASSES", 2)
        patch.setattr(SendGrid, "jobs", Jobs(most_open=4, pause=5, patience=15))
        world = SendGridWorld(installation, twin, sendgrid_transport())
        declare(installation, guards={"refuse_empty_source": False, "min_records": 1000})
        world.desire(Person("p0@shop.test"))
        world.sync()
        yield Lab(world, patch)


def _act_out(world: SendGridWorld, act: Act) -> None:
    contact = world.twin.contact(act.email)
    kinds = {"unsubscribe": "unsubscribes", "complain": "spam_reports", "bounce": "bounces"}
    if act.what in kinds:
        world.twin.store.suppress(kinds[act.what], act.email)
    elif act.what == "sign_up" and contact is None:
        world.twin.put(act.email)
    elif act.what == "get_identifier" and contact is not None:
        # from now on each job refuses her, and has to be told from the others by its file
        contact.identifiers = {"external_id": "7"}
        world.twin.store.put_contact(contact)
    elif act.what == "delete" and contact is not None:
        world.twin.store.drop_contact(contact.id)


def _check(world: SendGridWorld, wish: Wish, may_be_there: set[str]) -> None:
    twin = world.twin
    for email, row in zip(EMAILS, wish.people, strict=True):
        there, suppressed = twin.contact(email) is not None, twin.store.suppressed_as(email)
        inside = {name for name in ("vip", "cart") if email in twin.inside(f"mw:{name}")}
        contact = twin.contact(email)
        is_ours = contact is None or not contact.identifiers
        assert not there or email in may_be_there
        if row is None:
            if there and is_ours and "bounces" not in suppressed:
                assert "mw_city" not in twin.fields_of(email)
                assert not inside
            continue
        verdict, city, segments = row
        if verdict == "unsubscribe":
            assert not there or suppressed
        if not there:
            continue
        if suppressed & {"unsubscribes", "spam_reports"} or verdict == "unsubscribe":
            assert not inside
        elif not suppressed and is_ours:
            assert twin.fields_of(email).get("mw_city") == city
            assert twin.fields_of(email).get("first_name") == "there"
            assert inside == set(segments)
    family = twin.contact("p0@shop.test")
    if family is not None and "p0@shop.test" not in may_be_there:
        assert family.fields["last_name"] == "Family"
    assert twin.fields_of("theirs@shop.test") == {"first_name": "Theirs"}
    assert "theirs@shop.test" in twin.inside("mw:vip")
    assert twin.inside("newsletter") == {"theirs@shop.test"}
    assert twin.status("theirs@shop.test") == "subscribed"


@settings(
    max_examples=int(os.environ.get("MAILWRIGHT_EXAMPLES", "15")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=_history)
def test_any_history_converges(lab: Lab, history: list[tuple[Wish, Act | None, Luck]]) -> None:
    world = lab.world
    twin = world.twin
    lab.reset()
    may_be_there = {"p0@shop.test"}
    for wish, act, luck in history:
        if act is not None:
            _act_out(world, act)
            if act.what == "sign_up":
                may_be_there.add(act.email)
        people = _people(wish)
        absent_and_suppressed = {e for e in EMAILS if twin.contact(e) is None and twin.store.suppressed_as(e)}
        suppressed = {email: twin.store.suppressed_as(email) for email in EMAILS}
        may_be_there |= {p.email for p in people if p.verdict == "subscribe"} - absent_and_suppressed
        world.desire(*people)
        lab.run(luck)
        lab.time_passes()
        for email, before in suppressed.items():
            assert before <= twin.store.suppressed_as(email)  # never lifted, whatever went wrong
        for email in absent_and_suppressed - may_be_there:
            assert twin.contact(email) is None
    twin.store._rows("update jobs set looks_left = 0 where status = 'pending'")
    for _ in range(2):  # a job of before may end after the plan of the first has been made
        report = world.sync()
        assert report.is_complete, report
    _check(world, history[-1][0], may_be_there)
    assert world.sync().writes == 0
    _nothing_confirmed_was_resent(world)
    _ledger_folds(world)
