"""Random histories of wishes, faults and crashes against HubSpot's twin: it always ends up as desired, never worse.

After each history, whatever happened in it, good runs converge and the next writes nothing; nobody without evidence was
created or subscribed, nobody who had left was ever raised, not even for a moment; foreign things stayed.
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
from tests.reverse_etl.contract import ContractTransport
from tests.reverse_etl.hubspot_world import HubSpotTwin, HubSpotWorld, declare, hubspot_contract
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.test_ledger_properties import (
    EMAILS,
    FAILPOINTS,
    Act,
    Killed,
    Trouble,
    Wish,
    _nothing_confirmed_was_resent,
    _people,
    _wish,
)
from tests.reverse_etl.world import Person
from warehouse.connection import connect
from warehouse.errors import MailwrightError
from warehouse.settings import Settings

PATHS = ("batch/upsert", "statuses/batch/write", "statuses/batch/unsubscribe-all$", "batch/read", "memberships", "")

_trouble = st.builds(
    Trouble,
    fault=st.sampled_from([None, "429", "500", "close_before", "close_after"]),
    path=st.sampled_from(PATHS),
    skip=st.integers(0, 3),
    kill_at=st.sampled_from([None, *FAILPOINTS]),
    kill_after=st.integers(0, 3),
)
_act = st.builds(Act, st.sampled_from(EMAILS), st.sampled_from(["leave", "leave_all", "sign_up", "silent", "delete"]))
_history = st.lists(
    st.tuples(_wish, st.one_of(st.none(), _act), _trouble, st.sampled_from([0, 0, 5])), min_size=1, max_size=4
)


@dataclass
class Lab:
    """One warehouse and twin for all examples; each starts from an empty ledger and an empty account."""

    world: HubSpotWorld
    patch: pytest.MonkeyPatch

    def reset(self) -> None:
        with connect(self.world.settings) as con:
            for table in ("sync_runs", "sync_leases", "sync_plans", "sync_plan_items", "sync_attempts", "sync_state",
                          "remote_members", "remote_pulls", "remote_segments", "remote_suppressions"):  # fmt: skip
                con.execute(f"delete from ledger.{table}")
        twin = self.world.twin
        twin.store.reset()
        twin.faults.clear()
        twin.put("theirs@shop.test", firstname="Theirs")
        twin.put_inside("mw:vip", "theirs@shop.test")
        twin.put_inside("newsletter", "theirs@shop.test")
        twin.put("p0@shop.test", lastname="Family")
        twin.put("p1@shop.test", None, lastname="Silent")

    def run(self, trouble: Trouble) -> None:
        passed = [0]

        def failpoint(name: str) -> None:
            if name == trouble.kill_at:
                passed[0] += 1
                if passed[0] > trouble.kill_after:
                    raise Killed

        faults = self.world.twin.faults
        if trouble.fault:
            faults.add(trouble.fault, times=-1, skip=trouble.skip, path=trouble.path)  # pyright: ignore[reportArgumentType]
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
        HubSpotTwin(folder / "twin.sqlite") as twin,
        connect(installation),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(runner, "_finish", unless_killed)
        patch.setattr(leases, "_is_alive", lambda *_: False)
        patch.setattr(runner, "MOST_PASSES", 2)
        world = HubSpotWorld(installation, twin, ContractTransport(hubspot_contract()))
        declare(installation, guards={"refuse_empty_source": False, "min_records": 1000}, addresses=None)
        world.desire(Person("p0@shop.test"))
        world.sync()
        yield Lab(world, patch)


def _act_out(world: HubSpotWorld, act: Act) -> None:
    twin = world.twin
    contact = twin.contact(act.email)
    if act.what == "sign_up" and contact is None:
        twin.put(act.email, None if twin.status(act.email) == "unsubscribed" else "SUBSCRIBED")
    elif act.what == "silent" and contact is None:
        twin.put(act.email, None)
    elif act.what == "leave":
        twin.leave(act.email)
    elif act.what == "leave_all":
        twin.store.opt_out(act.email)
    elif act.what == "delete" and act.email not in {"p0@shop.test", "p1@shop.test"}:
        twin.store.delete_contact(act.email)


def _check(world: HubSpotWorld, wish: Wish, subscribed_ever: set[str], silent: set[str]) -> None:
    twin = world.twin
    for email, row in zip(EMAILS, wish.people, strict=True):
        contact, status = twin.contact(email), twin.status(email)
        if contact is None:
            continue
        assert status != "transactional" or email in silent  # whom we created is subscribed, whatever broke off
        if row is None:
            if status in {"subscribed", "transactional"} and world.rows(
                "select 1 from ledger.sync_state where object = 'member' and subscriber_hash = md5(?)", email
            ):
                assert "mw_city" not in contact.properties
            continue
        verdict, city, segments = row
        if verdict == "unsubscribe":
            assert status == "unsubscribed"
        elif status in {"subscribed", "transactional"}:
            assert status == "transactional" or email in subscribed_ever
            assert contact.properties.get("mw_city") == city
        for name in ("vip", "cart"):
            inside = email in twin.inside(f"mw:{name}")
            if status in {"subscribed", "transactional"}:
                assert inside == (name in segments and verdict != "unsubscribe")
            else:
                assert not inside
    for email, name in (("p0@shop.test", "Family"), ("p1@shop.test", "Silent")):
        assert twin.fields_of(email)["lastname"] == name
    assert twin.status("p1@shop.test") in {"transactional", "unsubscribed"}  # nobody raised her
    assert twin.fields_of("theirs@shop.test") == {"firstname": "Theirs"}
    assert twin.status("theirs@shop.test") == "subscribed"
    assert "theirs@shop.test" in twin.inside("mw:vip")
    assert twin.inside("newsletter") == {"theirs@shop.test"}


@settings(
    max_examples=int(os.environ.get("MAILWRIGHT_EXAMPLES", "12")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=_history)
def test_any_history_converges(lab: Lab, history: list[tuple[Wish, Act | None, Trouble, int]]) -> None:
    world, twin = lab.world, lab.world.twin
    lab.reset()
    raised_before = twin.resubscribed
    may_be_subscribed, silent = {"p0@shop.test"}, {"p1@shop.test"}
    for wish, act, trouble, search_lag in history:
        twin.store.search_lag = search_lag
        if act is not None:
            was_there = twin.contact(act.email) is not None
            _act_out(world, act)
            if act.what == "sign_up" and not was_there:
                may_be_subscribed.add(act.email)
            if act.what == "silent" and not was_there:
                silent.add(act.email)
        there = {email: twin.contact(email) is not None for email in EMAILS}
        left = {email for email in EMAILS if twin.status(email) == "unsubscribed"}
        people = _people(wish)
        may_be_subscribed |= {p.email for p in people if p.verdict == "subscribe"} - left
        world.desire(*people)
        lab.run(trouble)
        assert twin.resubscribed == raised_before
        for email in EMAILS:
            if email in left:
                assert twin.status(email) == "unsubscribed"
            if not there[email] and twin.contact(email) is not None:
                assert email in may_be_subscribed - left
    twin.store.search_lag = 0
    report = world.sync()
    for _ in range(2):  # whatever a search did not show yet
        report = report if report.is_complete else world.sync()
    assert report.is_complete, report
    with connect(world.settings) as con:
        con.execute("delete from ledger.remote_pulls")  # the look of every day, which sees all
    world.sync()
    _check(world, history[-1][0], may_be_subscribed, silent)
    assert world.sync().writes == 0
    _nothing_confirmed_was_resent(world)
    _ledger_folds(world)
