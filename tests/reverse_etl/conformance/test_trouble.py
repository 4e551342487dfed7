"""Things go wrong at the destination: whatever it is, nothing is lost, nothing confirmed is sent again, and the next
run converges unaided."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

import pytest

from reverse_etl.destination import Jobs
from reverse_etl.errors import DestinationConfigError, DestinationDown
from tests.reverse_etl.conformance.port import POLLING, Port, Trouble, What
from tests.reverse_etl.world import Person

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(4)]
EMAILS = {person.email for person in PEOPLE}


@pytest.fixture
def wanted(port: Port) -> Port:
    """Somebody is there already, so that a run does everything: create, update, lower, clear, enter and leave."""
    port.put("theirs@shop.test", city="theirs")
    port.desire(*PEOPLE[:3], Person("left@shop.test", "subscribe", ("vip",)), Person("gone@shop.test"))
    port.sync()
    port.desire(
        replace(PEOPLE[0], columns={"city": "B"}),
        replace(PEOPLE[1], segments=("cart",)),
        *PEOPLE[2:],
        Person("left@shop.test", "unsubscribe"),
    )
    return port


def _converged(port: Port) -> None:
    report = port.sync()
    assert report.is_complete, report
    port.time_passes()
    assert [port.city(email) for email in sorted(EMAILS)] == ["B", "A", "A", "A"]
    assert {port.status(email) for email in EMAILS} == {"subscribed"}
    assert port.status("left@shop.test") == "unsubscribed"
    assert port.status("gone@shop.test") == "subscribed"
    assert port.inside("mw:vip") == EMAILS - {"p1@shop.test"}
    assert port.inside("mw:cart") == {"p1@shop.test"}
    assert port.city("theirs@shop.test") == "theirs"
    port.settled()


def test_throttled_in_each_form(wanted: Port) -> None:
    """Two refusals of every kind of request, in each form that the vendor has; the pauses are counted, not slept."""
    named: tuple[What, ...] = ("create", "segment", "lower", "any")
    by_path: dict[str, What] = {wanted.paths[what]: what for what in named}
    whats = list(by_path.values())
    kinds: list[Any] = list(wanted.can().throttles)
    for what in whats:
        for kind in kinds:
            wanted.fault(kind, what, times=2 // len(kinds))
    pauses = len(wanted.naps)
    report = wanted.sync()
    assert report.throttled == 2 * len(whats)
    assert len(wanted.naps) - pauses >= report.throttled
    _converged(wanted)


@pytest.mark.parametrize("what", ["any", "segment"])
def test_throttled_without_end(wanted: Port, what: What) -> None:
    """One error; what was done before is kept, and what was not done counts as not done."""
    for kind in wanted.can().throttles:
        wanted.fault(cast(Any, kind), what, times=-1)
        with pytest.raises(DestinationDown, match="throttling"):
            wanted.sync()
        wanted.clear_faults()
    assert wanted.rows("select count(*) from ledger.sync_state where is_doubtful") == [(0,)]
    _converged(wanted)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("500", "poll"),
        ("close_before", "update"),
        ("close_after", "segment"),
        ("timeout", "create"),
        ("timeout", "lower"),
        ("twice", "create"),
    ],
)
def test_an_answer_that_is_lost_once(wanted: Port, kind: Trouble, what: What) -> None:
    """5xx; reset in the middle of the body, before and after it took effect; accepted, then silence; delivered twice.

    It may have taken effect, or not, or twice: cleared up by this run, or by the next.
    """
    wanted.fault(kind, what)
    wanted.run()
    _converged(wanted)


@pytest.mark.parametrize(("kind", "what"), [("500", "segment"), ("close_after", "create"), ("close_after", "lower")])
def test_no_answer_at_all(wanted: Port, kind: Trouble, what: What) -> None:
    """In doubt is not taken for the old state, nor for the new one."""
    wanted.fault(kind, what, times=-1)
    report = wanted.run()
    assert report is None or not report.is_complete
    wanted.check_ledger()
    wanted.clear_faults()
    _converged(wanted)


def test_in_doubt_and_back_again(port: Port) -> None:
    """Confirmed A, B in doubt, desired A again: A is sent, since B may be there."""
    port.desire(*PEOPLE)
    port.sync()
    port.desire(*(replace(p, columns={"city": "B"}) for p in PEOPLE))
    port.fault("close_after", "update", times=-1)
    port.run()
    port.clear_faults()
    port.desire(*PEOPLE)
    port.sync()
    assert {port.city(email) for email in EMAILS} == {"A"}
    port.settled()


def test_a_destination_that_is_down(wanted: Port) -> None:
    url, wanted.twin.url = wanted.twin.url, "http://127.0.0.1:9/"
    transport, wanted.world.transport = wanted.world.transport, None
    with pytest.raises(DestinationDown, match="cannot be reached") as caught:
        wanted.sync()
    assert caught.value.exit_code == 5
    assert "What to do" in str(caught.value)
    wanted.twin.url, wanted.world.transport = url, transport
    _converged(wanted)


def test_a_wrong_key(wanted: Port) -> None:
    target: Any = wanted.world.destination
    with pytest.raises(DestinationConfigError) as caught:
        wanted.sync(destination=target(api_key="wrongwrongwrongwrong-us0"))
    assert "wrongwrong" not in str(caught.value)
    assert "wrongwrong" not in str(wanted.rows("select message from ledger.sync_runs"))
    _converged(wanted)


@pytest.mark.parametrize(
    ("failpoint", "passage"),
    [
        ("sync.before_send", 1),
        ("sync.sent_unanswered", 2),
        ("sync.answered_uncommitted", 3),
        ("sync.committed", 2),
        (POLLING, 1),
    ],
)
def test_killed_at_every_failpoint(wanted: Port, failpoint: str, passage: int) -> None:
    """What was committed as confirmed is not sent again; the rest is."""
    if failpoint not in wanted.failpoints():
        assert not wanted.can().has_jobs  # nothing to poll
        return
    with wanted.killed_at(failpoint, passage) as passed:
        assert wanted.run() is None
    assert passed == [passage]
    before = set(wanted.rows("select record_key, sent_hash from ledger.sync_attempts where outcome = 'confirmed'"))
    wanted.run()
    sent = wanted.rows(
        """select record_key, sent_hash from ledger.sync_attempts where outcome = 'sent'
           and sync_run_id = (select arg_max(sync_run_id, started_at) from ledger.sync_runs)"""
    )
    assert before.isdisjoint(sent)
    statuses = [row[0] for row in wanted.rows("select status from ledger.sync_runs order by started_at")]
    assert statuses == ["succeeded", "abandoned", "succeeded"]
    _converged(wanted)


def test_jobs_that_outlive_a_run(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not sent again while they run, and confirmed by the next run once they have ended."""
    if not port.can().has_jobs:
        port.desire(*PEOPLE)
        assert port.sync().waiting == 0  # every call ends with its answer
        return
    target = port.destination()
    monkeypatch.setattr(type(target), "jobs", Jobs(most_open=4, pause=5, patience=15))
    target.close()
    port.jobs_take(10**6)
    port.desire(*PEOPLE)
    report = port.sync()
    assert (report.created, report.waiting, report.is_complete) == (0, 4, False)
    assert port.plan().held == {"waiting": 4}
    port.time_passes()
    port.jobs_take(1)
    assert port.sync().is_complete
    assert port.rows("select count(*) from ledger.sync_attempts where outcome = 'sent' and object = 'member'") == [(4,)]
    assert port.inside("mw:vip") == EMAILS
    port.settled()


def test_no_secret_and_no_address_anywhere(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, through a run with refusals of every kind; the ledger's texts likewise."""
    caplog.set_level(logging.DEBUG)
    port.put("left@shop.test", "unsubscribed")
    port.desire(*PEOPLE, Person("bad@shop.invalid"), Person("left@shop.test"), Person("annshop.test"))
    port.fault("429")
    port.fault("close_after", "create")
    port.run()
    texts = [record.getMessage() for record in caplog.records]
    for table, column in (("sync_attempts", "message"), ("sync_runs", "report"), ("sync_plans", "counts")):
        texts += [str(row[0]) for row in port.rows(f"select {column} from ledger.{table}")]
    assert len(texts) > 10
    secrets = [value for name, value in vars(port.twin.door).items() if name in {"api_key", "token"}]
    assert secrets
    assert not [text for text in texts for part in (*secrets, "@shop", "annshop") if part in text]
