"""Random histories of wishes, faults and crashes: the destination always ends up as desired, and never worse.

After each history, whatever happened in it, one good run converges and the next writes nothing; what was confirmed
was never sent again unchanged; nobody without evidence was created, nobody was raised; foreign things stayed.
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
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.world import Person, TwinServer, World, hash_of, small_declaration
from warehouse.connection import connect
from warehouse.errors import MailwrightError
from warehouse.settings import Settings

EMAILS = [f"p{n}@shop.test" for n in range(4)]
FAILPOINTS = ("sync.before_send", "sync.sent_unanswered", "sync.answered_uncommitted", "sync.committed")


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


@dataclass(frozen=True)
class Wish:
    """What the models want of each person: (verdict, city, segments), or None for no row."""

    people: tuple[tuple[str, str | None, tuple[str, ...]] | None, ...]


@dataclass(frozen=True)
class Trouble:
    """One run's bad luck."""

    fault: str | None
    path: str
    skip: int
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
_trouble = st.builds(
    Trouble,
    fault=st.sampled_from([None, "429", "403", "500", "close_before", "close_after"]),
    path=st.sampled_from(["lists/[a-z]+$", "segments/", ""]),
    skip=st.integers(0, 3),
    kill_at=st.sampled_from([None, *FAILPOINTS]),
    kill_after=st.integers(0, 3),
)
_act = st.builds(Act, st.sampled_from(EMAILS), st.sampled_from(["unsubscribe", "sign_up", "archive"]))
_history = st.lists(st.tuples(_wish, st.one_of(st.none(), _act), _trouble), min_size=1, max_size=4)


@dataclass
class Lab:
    """One warehouse and twin for all examples; each starts from an empty ledger and an empty audience."""

    world: World
    patch: pytest.MonkeyPatch

    def reset(self) -> None:
        with connect(self.world.settings) as con:
            for table in ("sync_runs", "sync_leases", "sync_plans", "sync_plan_items", "sync_attempts", "sync_state",
                          "remote_members", "remote_pulls", "remote_segments"):  # fmt: skip
                con.execute(f"delete from ledger.{table}")
        store = self.world.twin.store
        for table in ("members", "segments", "segment_members", "forgotten"):
            store._con.execute(f"delete from {table}")
        self.world.twin.faults.clear()
        self.world.twin.put("theirs@shop.test", FNAME="Theirs")
        self.world.twin.put_inside("mw:vip", "theirs@shop.test")
        self.world.twin.put_inside("newsletter", "theirs@shop.test")
        self.world.twin.put("p0@shop.test", LNAME="Family")

    def run(self, trouble: Trouble) -> None:
        passed = [0]

        def failpoint(name: str) -> None:
            if name == trouble.kill_at:
                passed[0] += 1
                if passed[0] > trouble.kill_after:
                    raise Killed

        faults = self.world.twin.faults
        if trouble.fault:
            faults.add(trouble.fault, times=-1, skip=trouble.skip, method="POST", path=trouble.path)  # pyright: ignore[reportArgumentType]
        self.patch.setattr(runner, "failpoint", failpoint)
        try:
            self.world.sync()
        except (Killed, MailwrightError):
            pass
        finally:
            faults.clear()
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
        TwinServer(folder / "twin.sqlite") as twin,
        connect(installation),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(runner, "_finish", unless_killed)
        patch.setattr(leases, "_is_alive", lambda *_: False)
        patch.setattr(runner, "MOST_PASSES", 2)
        world = World(installation, twin, sync_name="small")
        small_declaration(installation, guards={"refuse_empty_source": False, "min_records": 1000})
        world.desire(Person("p0@shop.test"))
        world.sync()
        yield Lab(world, patch)


def _people(wish: Wish) -> list[Person]:
    return [
        Person(email, row[0], row[2], {"city": row[1]})
        for email, row in zip(EMAILS, wish.people, strict=True)
        if row is not None
    ]


def _act_out(world: World, act: Act) -> None:
    member = world.twin.member(act.email)
    if act.what == "sign_up" and member is None:
        world.twin.put(act.email)
    elif act.what == "unsubscribe" and member and member.status == "subscribed":
        # the API could undo this one: so a sync that tries is caught
        member.status, member.unsubscribed_by = "unsubscribed", "api"
        world.twin.store.put_member(DEFAULT_LIST, member)
    elif act.what == "archive" and member and member.status in {"subscribed", "unsubscribed"}:
        member.status = "archived"
        world.twin.store.put_member(DEFAULT_LIST, member)


def _check(world: World, wish: Wish, subscribed_ever: set[str]) -> None:
    for email, row in zip(EMAILS, wish.people, strict=True):
        member = world.twin.member(email)
        if row is None:
            if member and member.status in {"subscribed", "unsubscribed"}:
                assert "MW_CITY" not in member.merge_fields
            continue
        verdict, city, segments = row
        if verdict == "unsubscribe":
            assert member is None or member.status in {"unsubscribed", "archived"}
        elif member is None:
            assert verdict == "update_only"
        elif member.status == "subscribed":
            assert email in subscribed_ever
            assert member.merge_fields.get("MW_CITY") == city
            assert member.merge_fields.get("FNAME") == "there"
        for name in ("vip", "cart"):
            inside = hash_of(email) in world.twin.inside(f"mw:{name}")
            mailable = member is not None and member.status == "subscribed"
            if mailable:
                assert inside == (name in segments and verdict != "unsubscribe")
            elif member is not None and member.status == "unsubscribed":
                assert not inside
    family = world.twin.member("p0@shop.test")
    assert family is not None
    assert family.merge_fields["LNAME"] == "Family"
    theirs = world.twin.member("theirs@shop.test")
    assert theirs is not None
    assert (theirs.status, theirs.merge_fields) == ("subscribed", {"FNAME": "Theirs"})
    assert hash_of("theirs@shop.test") in world.twin.inside("mw:vip")
    assert world.twin.inside("newsletter") == {hash_of("theirs@shop.test")}


def _nothing_confirmed_was_resent(world: World) -> None:
    """No attempt sends what the attempt before it had confirmed (memberships of people created anew apart)."""
    resent = world.rows(
        """with ordered as (
               select *, lag(outcome) over w as before, lag(sent_hash) over w as hash_before
               from ledger.sync_attempts
               window w as (partition by object, record_key order by attempt_number)
           )
           select object, operation from ordered
           where outcome = 'sent' and before = 'confirmed' and hash_before = sent_hash
               and operation not in ('create', 'add', 'lower')"""
    )
    assert resent == []


@settings(
    max_examples=int(os.environ.get("MAILWRIGHT_EXAMPLES", "15")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=_history)
def test_any_history_converges(lab: Lab, history: list[tuple[Wish, Act | None, Trouble]]) -> None:
    world = lab.world
    lab.reset()
    may_be_subscribed = {"p0@shop.test"}
    for wish, act, trouble in history:
        statuses = {email: world.twin.status(email) for email in EMAILS}
        if act is not None:
            _act_out(world, act)
            if act.what == "sign_up" and statuses[act.email] is None:
                may_be_subscribed.add(act.email)
            statuses[act.email] = world.twin.status(act.email)
        people = _people(wish)
        may_be_subscribed |= {p.email for p in people if p.verdict == "subscribe"}
        world.desire(*people)
        lab.run(trouble)
        for email, before in statuses.items():
            after = world.twin.status(email)
            if before in {"unsubscribed", "archived"}:
                assert after == before  # never raised, whatever went wrong
            if before is None and after is not None:
                assert email in {p.email for p in people if p.verdict == "subscribe"}
    report = world.sync()
    assert report.is_complete, report
    _check(world, history[-1][0], may_be_subscribed)
    assert world.sync().writes == 0
    _nothing_confirmed_was_resent(world)
    _ledger_folds(world)
