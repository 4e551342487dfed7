"""Crash proof: random histories at each vendor, and whatever happened in one, good runs end it as desired.

A history is a few steps. In each, the models want something else, somebody perhaps acts at the vendor, and a run has
bad luck: throttles, 5xx, answers that are dropped, come too late or after a second delivery, jobs that linger or go
wrong, a kill at any failpoint. The warehouse file is closed and opened again between runs.

Always: the twin equals the desired state in the end, and one more run writes nothing; what is confirmed is not sent
again; nobody is mailable whom neither she herself nor evidence made so; nobody who said no is raised, not even in
between; what is not ours stays.

`MAILWRIGHT_EXAMPLES=1000` in the environment asks for so many histories, over all vendors.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl import runner
from reverse_etl.destination import Jobs
from reverse_etl.destinations.sendgrid import SendGrid
from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.conftest import from_template
from tests.reverse_etl.conformance.port import Killed, Port, Trouble, What
from tests.reverse_etl.conformance.vendors import PORTS
from tests.reverse_etl.world import Person
from warehouse.connection import connect

# read here: a test itself does not see MAILWRIGHT_* variables
EXAMPLES = int(os.environ.get("MAILWRIGHT_EXAMPLES", "80"))
EMAILS = [f"p{n}@shop.test" for n in range(4)]
NO = {"unsubscribed", "cleaned", "archived"}
MAILED = {"subscribed", "transactional"}
SILENT = {"transactional", "never_subscribed"}
ACTS = ("unsubscribe", "complain", "bounce", "delete", "archive", "sign_up", "silent")


@dataclass(frozen=True)
class Luck:
    """One run's bad luck."""

    faults: tuple[tuple[Trouble, What, int, int], ...]
    """(kind, which requests, how many (-1: all), after how many good ones)."""
    kill_at: str | None
    kill_after: int
    looks: int
    quirk: int


@dataclass(frozen=True)
class Step:
    """What is wanted of each address (verdict, city, segments; None: no row), somebody's act before it, and luck."""

    wish: tuple[tuple[str, str | None, tuple[str, ...]] | None, ...]
    act: tuple[str, str] | None
    luck: Luck

    @property
    def people(self) -> list[Person]:
        return [
            Person(email, row[0], row[2], {"city": row[1]})
            for email, row in zip(EMAILS, self.wish, strict=True)
            if row is not None
        ]


@dataclass
class Known:
    """What may be, by what happened so far.

    `mailable`: she said so herself, or evidence did; `silent`: who came without a word; `deleted`: who was, there.
    """

    mailable: set[str] = field(default_factory=lambda: {"p0@shop.test"})
    silent: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


def _histories(port: type[Port]) -> st.SearchStrategy[list[Step]]:
    person = st.tuples(
        st.sampled_from(["subscribe", "subscribe", "update_only", "unsubscribe"]),
        st.sampled_from(["A", "B", None]),
        st.lists(st.sampled_from(["vip", "cart"]), unique=True, max_size=2).map(lambda some: tuple(sorted(some))),
    )
    kinds: list[Any] = [*port.can().throttles, "500", "close_before", "close_after", "timeout", "twice"]
    fault = st.tuples(
        st.sampled_from(kinds), st.sampled_from(list(port.paths)), st.sampled_from([1, -1]), st.integers(0, 3)
    )
    luck = st.builds(
        Luck,
        faults=st.lists(fault, max_size=2).map(tuple),
        kill_at=st.sampled_from([None, *port.failpoints()]),
        kill_after=st.integers(1, 4),
        looks=st.sampled_from([0, 1, 2, 10]),
        quirk=st.integers(0, 9),
    )
    act = st.one_of(st.none(), st.tuples(st.sampled_from(EMAILS), st.sampled_from(ACTS)))
    wish = st.tuples(*(st.one_of(person, person, st.none()) for _ in EMAILS))
    return st.lists(st.builds(Step, wish=wish, act=act, luck=luck), min_size=1, max_size=4)


def _act(port: Port, email: str, what: str, known: Known) -> None:
    is_there, status = port.held(email) is not None, port.status(email)
    if what == "sign_up" and status in {None, "never_subscribed"}:
        port.put(email)
        known.mailable.add(email)
    elif what == "silent" and status is None and (kinds := SILENT & set(port.can().statuses)):
        port.put(email, kinds.pop())
        known.silent.add(email)
    elif what in {"unsubscribe", "complain", "bounce"} and is_there and status not in {"archived", "cleaned"}:
        getattr(port, what)(email)
    elif what == "archive" and is_there and status not in {"cleaned"}:
        port.archive(email)
    elif what == "delete" and is_there and email != "p0@shop.test":
        port.delete(email)
        known.deleted.add(email)


def _step(port: Port, step: Step, known: Known, seen: Counter[str]) -> None:
    if step.act is not None:
        port.time_passes()  # else a subscription that was asked for would lift what she says after it
        _act(port, *step.act, known)
    before = {email: port.status(email) for email in EMAILS}
    left = {email for email, status in before.items() if status in NO}
    known.mailable |= {person.email for person in step.people if person.verdict == "subscribe"} - left
    port.desire(*step.people)
    luck = step.luck
    for kind, what, times, skip in luck.faults:
        port.fault(kind, what, times, skip)
    port.jobs_take(luck.looks)
    port.upset(luck.quirk)
    with port.killed_at(luck.kill_at or "", luck.kill_after) as passed:
        report = port.run()
    seen["runs"] += 1
    seen["killed"] += bool(luck.kill_at and passed[0] >= luck.kill_after)
    seen["failed or incomplete"] += report is None or not report.is_complete
    port.clear_faults()
    for email, was in before.items():
        now = port.status(email)
        if was in NO:
            assert now in NO, (email, was, now)  # never raised, whatever went wrong
        elif now == "subscribed" and was != "subscribed":
            assert email in known.mailable, (email, was, now)
    assert port.raised == 0


def _check(port: Port, step: Step, known: Known) -> None:
    for email, row in zip(EMAILS, step.wish, strict=True):
        held, status = port.held(email), port.status(email)
        inside = {name for name in ("vip", "cart") if email in port.inside(f"mw:{name}")}
        assert status != "subscribed" or email in known.mailable
        # a creation that broke off leaves somebody silent there at most, whom nobody mails
        broken_off = known.mailable if status == "never_subscribed" else set[str]()
        assert status not in SILENT or email in known.silent | known.deleted | broken_off
        if row is None:
            if held is not None and status in {*MAILED, "unsubscribed", "never_subscribed"}:
                assert held.fields.get("city") is None
                assert not inside
            continue
        verdict, city, segments = row
        if verdict == "unsubscribe":
            assert held is None or status not in {*MAILED, "never_subscribed"}
        elif held is None:
            assert verdict == "update_only" or email in known.deleted or status in NO
        elif status in {*MAILED, "never_subscribed"}:
            assert held.fields.get("city") == city
            if status == "never_subscribed":
                assert verdict == "update_only" or email in known.deleted
        if held is not None and status in {*MAILED, "never_subscribed", "unsubscribed"}:
            assert inside == (set(segments) if status in MAILED and verdict != "unsubscribe" else set())
    theirs, first = port.held("theirs@shop.test"), port.held("p0@shop.test")
    assert theirs is not None
    assert first is not None
    assert (theirs.status, theirs.fields) == ("subscribed", {"last_name": "Theirs"})
    assert first.fields["last_name"] == "Family"
    assert "theirs@shop.test" in port.inside("mw:vip")
    assert port.inside("newsletter") == {"theirs@shop.test"}


def _live(port: Port, history: list[Step], seen: Counter[str]) -> None:
    known = Known()
    port.declare(guards={"refuse_empty_source": False, "min_records": 1000})
    port.put("theirs@shop.test", last_name="Theirs")
    port.put_inside("mw:vip", "theirs@shop.test")
    port.put_inside("newsletter", "theirs@shop.test")
    port.put("p0@shop.test", last_name="Family")
    for step in history:
        with connect(port.settings, purpose="test"):
            _step(port, step, known, seen)
    with connect(port.settings, purpose="test"):
        port.upset(0)
        port.jobs_take(1)
        port.time_passes()
        assert port.run() is not None
        port.time_passes()
        port.look_at_everybody()  # as once a day: a search may not have shown all
        report = port.sync()
        if not report.is_complete:  # a job of before may have ended after the plan was made
            report = port.sync()
        assert report.is_complete, report
        port.time_passes()
        _check(port, history[-1], known)
        port.settled()
        assert port.raised == 0
    seen["histories"] += 1


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("vendor", VENDORS)
def test_any_history_converges(vendor: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_PASSES", 2)
    monkeypatch.setattr(SendGrid, "jobs", Jobs(most_open=4, pause=5, patience=15))
    seen: Counter[str] = Counter()

    @settings(
        max_examples=max(1, EXAMPLES // len(VENDORS)),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(history=_histories(PORTS[vendor]))
    def converges(history: list[Step]) -> None:
        port = PORTS[vendor].make(from_template(template, tmp_path / "home"))
        with port.twin.in_process():
            _live(port, history, seen)

    converges()
    print(f"{vendor}: {dict(seen)}")


def test_a_kill_is_one() -> None:
    """No handler of ours may catch it."""
    assert not issubclass(Killed, Exception)
