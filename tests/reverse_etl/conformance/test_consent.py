"""Nobody is subscribed without evidence, nobody who said no is raised, statuses only go down; at every vendor."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from reverse_etl import runner, sending
from reverse_etl.destination import BatchOutcome, Destination
from reverse_etl.ledger import Batch
from tests.reverse_etl.conformance.port import Port
from tests.reverse_etl.world import Person
from warehouse.clock import utcnow
from warehouse.errors import DataError

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(3)]
VERDICTS = ("subscribe", "update_only", "unsubscribe", None, "yes please")
MAILED = {"subscribed", "transactional"}


def _address(verdict: str | None, status: str | None) -> str:
    return f"{(verdict or 'none').replace(' ', '-')}.{(status or 'absent').replace('_', '-')}@shop.test"


def _expected(port: Port, verdict: str | None, status: str | None) -> str | None:
    """The whole policy as a table: the status afterwards."""
    if verdict == "unsubscribe" and status in {"subscribed", "pending", "transactional", "never_subscribed"}:
        return "unsubscribed"
    if verdict == "subscribe" and (status is None or (status == "never_subscribed" and port.can().raises_the_silent)):
        return "subscribed"
    return status


def test_every_verdict_meets_every_status(port: Port) -> None:
    pairs = list(itertools.product(VERDICTS, (None, *port.can().statuses)))
    for verdict, status in pairs:
        if status:
            port.put(_address(verdict, status), status, city="theirs")
    port.desire(*(Person(_address(v, s), v, ("vip",), {"city": "ours"}) for v, s in pairs))
    port.sync()
    port.time_passes()
    assert {(v, s): port.status(_address(v, s)) for v, s in pairs} == {(v, s): _expected(port, v, s) for v, s in pairs}
    written = {
        (v, s)
        for v, s in pairs
        if (held := port.held(_address(v, s))) is not None and held.fields.get("city") == "ours"
    }
    may_be_written = {*MAILED, "never_subscribed"} & set(port.can().statuses)
    assert written == {("subscribe", None), *itertools.product(("subscribe", "update_only"), may_be_written)}
    mailed = {(v, s) for v, s in written if _expected(port, v, s) in MAILED}
    assert port.inside("mw:vip") == {_address(v, s) for v, s in mailed}
    port.settled()


@pytest.mark.parametrize("how", ["unsubscribe", "complain"])
def test_her_word_there_beats_everything(port: Port, how: str) -> None:
    """Nothing is written to her any more, it ends her other address too, and it is evidence for the next build."""
    ann = Person("ann@shop.test", "subscribe", ("vip",), {"city": "A"}, ("ann.private@shop.test",))
    port.put("ann.private@shop.test")
    port.desire(*PEOPLE, ann)
    port.sync()
    getattr(port, how)("ann@shop.test")
    for _ in range(2):  # whatever a search does not show yet
        port.desire(*PEOPLE, replace(ann, columns={"city": "B"}))
        port.sync()
    assert port.status("ann@shop.test") == port.status("ann.private@shop.test") == "unsubscribed"
    assert port.city("ann@shop.test") == "A"
    assert port.inside("mw:vip") == {person.email for person in PEOPLE}
    assert port.rows("select email, kind from ledger.remote_suppressions") == [("ann@shop.test", "unsubscribe")]
    port.look_at_everybody()
    port.settled()
    assert port.rows("select count(*) from ledger.remote_suppressions") == [(1,)]


def test_a_bounce_concerns_the_address_alone(port: Port) -> None:
    ann = Person("ann@shop.test", "subscribe", ("vip",), {"city": "A"}, ("ann.private@shop.test",))
    port.put("ann.private@shop.test")
    port.desire(*PEOPLE, ann)
    port.sync()
    port.bounce("ann@shop.test")
    port.desire(*PEOPLE, replace(ann, columns={"city": "B"}))
    report = port.sync()
    assert report.blocked == {"cleaned_in_destination": 1}
    assert (port.status("ann@shop.test"), port.status("ann.private@shop.test")) == ("cleaned", "subscribed")
    assert port.city("ann@shop.test") == "A"
    port.settled()


def test_a_withdrawal_ends_every_address(port: Port) -> None:
    """Of hers, and nobody else's; and what we lowered ourselves is no word of hers."""
    port.put("ann.private@shop.test")
    port.put("refused@shop.test")
    port.desire(*PEOPLE, Person("ann@shop.test", "subscribe", ("vip",)))
    port.sync()
    port.desire(
        *PEOPLE,
        Person("ann@shop.test", "unsubscribe", ("vip",), {}, ("ann.private@shop.test",)),
        refusals=["refused@shop.test"],
    )
    assert port.sync().lowered == 3
    port.time_passes()
    ended = ("ann@shop.test", "ann.private@shop.test", "refused@shop.test")
    assert [port.status(email) for email in ended] == ["unsubscribed"] * 3
    assert {port.status(person.email) for person in PEOPLE} == {"subscribed"}
    assert port.inside("mw:vip") == {person.email for person in PEOPLE}
    for _ in range(2):
        port.look_at_everybody()
        port.settled()
    assert port.rows("select count(*) from ledger.remote_suppressions") == [(0,)]


def test_who_withdrew_is_not_raised_by_new_evidence(port: Port) -> None:
    """The ESP is where she opts in again: what a sync lowered, no sync raises."""
    port.desire(*PEOPLE)
    port.sync()
    port.desire(replace(PEOPLE[0], verdict="unsubscribe"), *PEOPLE[1:])
    port.sync()
    port.time_passes()
    port.desire(*PEOPLE)
    report = port.sync()
    assert report.blocked == {"unsubscribed_in_destination": 1}
    assert port.status("p0@shop.test") == "unsubscribed"
    port.settled()


def test_once_weighed_consent_decides_for_her_other_addresses(port: Port) -> None:
    """The build has weighed her word, and newer evidence outranks it: it binds no further address any more."""
    ann = Person("ann@shop.test", "subscribe", (), {}, ("ann.private@shop.test",))
    port.put("ann.private@shop.test", "unsubscribed")
    port.desire(*PEOPLE, ann)
    assert port.sync().created == 3
    assert port.held("ann@shop.test") is None
    port.desire(*PEOPLE, replace(ann, weighed_to=utcnow() + timedelta(seconds=1)))
    assert port.sync().created == 1
    assert port.status("ann@shop.test") == "subscribed"
    assert port.status("ann.private@shop.test") == "unsubscribed"
    port.settled()


@pytest.mark.parametrize("how", ["verdict", "address"])
def test_rows_are_read_again_when_sending(port: Port, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent is withdrawn, or a key gets another's address, between plan and push: the content is the same, the record
    is still not sent."""
    port.desire(*PEOPLE)
    apply = runner.apply
    late: list[int] = []

    def changed_before(*arguments: object) -> int:
        if not late:
            late.append(1)
            port.desire(*(replace(person, verdict="unsubscribe") for person in PEOPLE[:1]), *PEOPLE[1:])
            if how == "address":
                port.desire(*PEOPLE)
                port.rows(
                    "update analytics.sync_esp__members set email = 'other@shop.test' where email = 'p0@shop.test'"
                )
        return apply(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "apply", changed_before)
    with suppress(DataError):  # a second plan of the run refuses the model
        port.sync()
    port.time_passes()
    assert late
    assert {port.status(person.email) for person in PEOPLE[1:]} == {"subscribed"}
    assert port.held("other@shop.test") is None
    assert port.held("p0@shop.test") is None


def _become_before_sending(port: Port, monkeypatch: pytest.MonkeyPatch, *people: Person, sql: str = "") -> None:
    """The model is rebuilt between plan and push, once."""
    apply = runner.apply
    late: list[int] = []

    def rebuilt(*arguments: object) -> int:
        if not late:
            late.append(1)
            port.desire(*people)
            if sql:
                port.rows(sql)
        return apply(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "apply", rebuilt)


@pytest.mark.parametrize("how", ["withdrew", "refused elsewhere", "not meant any more", "gone"])
def test_entries_are_asked_for_again_when_sending(port: Port, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry may start an automation: it is the last to go out, and the model may be another by then."""
    outside = [replace(person, segments=()) for person in PEOPLE]
    inside = [replace(person, segments=("vip",)) for person in PEOPLE]
    port.desire(*outside)
    port.sync()
    port.desire(*inside)
    first = {
        "withdrew": [replace(inside[0], verdict="unsubscribe")],
        "refused elsewhere": inside[:1],
        "not meant any more": outside[:1],
        "gone": [],
    }[how]
    refuses = "update analytics.sync_esp__addresses set is_refused = true where subscriber_hash = md5('p0@shop.test')"
    _become_before_sending(port, monkeypatch, *first, *inside[1:], sql=refuses if how == "refused elsewhere" else "")
    port.sync()
    port.time_passes()
    assert port.inside("mw:vip") == {person.email for person in PEOPLE[1:]}


@pytest.mark.parametrize("end", ["lower", "clear"])
def test_ends_are_asked_for_again_when_sending(port: Port, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who agreed again, or is back, is not unsubscribed, and her fields are not emptied, by a plan of before."""
    people = [replace(person, columns={"city": "A"}) for person in PEOPLE]
    port.desire(*people)
    port.sync()
    port.desire(*([replace(people[0], verdict="unsubscribe")] if end == "lower" else []), *people[1:])
    made = port.plan()
    assert (made.lowered, made.cleared) == ((1, 0) if end == "lower" else (0, 1))
    _become_before_sending(port, monkeypatch, *people)
    report = port.sync()
    assert (report.lowered, report.cleared, report.is_complete) == (0, 0, True)
    assert (port.status("p0@shop.test"), port.city("p0@shop.test")) == ("subscribed", "A")


def test_who_leaves_between_pull_and_push_is_not_raised(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """She was absent when we looked; she signed up and left before we wrote."""
    port.desire(*PEOPLE)
    send = sending._send
    late: list[int] = []

    def left_before(destination: Destination, batch: Batch) -> BatchOutcome:
        if not late and batch.operation == "create":
            late.append(1)
            port.put("p0@shop.test")
            port.unsubscribe("p0@shop.test")
        return send(destination, batch)

    monkeypatch.setattr(sending, "_send", left_before)
    port.sync()
    port.time_passes()
    assert late
    assert port.status("p0@shop.test") == "unsubscribed"
    assert {port.status(person.email) for person in PEOPLE[1:]} == {"subscribed"}
    monkeypatch.undo()
    port.sync()
    port.time_passes()
    assert port.status("p0@shop.test") == "unsubscribed"
    port.look_at_everybody()
    port.sync()
    port.settled()


def test_her_word_outlives_her(port: Port) -> None:
    """Unsubscribed and then deleted there: where her word stays, it counts; everywhere, she is not created again."""
    port.desire(*PEOPLE)
    port.sync()
    port.unsubscribe("p0@shop.test")
    port.sync()
    port.delete("p0@shop.test")
    port.look_at_everybody()
    report = port.sync()
    assert (port.status("p0@shop.test") == "unsubscribed") is port.can().word_outlives_person
    assert port.held("p0@shop.test") is None
    assert report.writes == 0
    assert sum(report.blocked.values()) == 1
    port.settled()


def test_foreign_people_fields_and_segments_stay(port: Port) -> None:
    port.put("theirs@shop.test", first_name="Theirs", city="Theirs")
    port.put_inside("newsletter", "theirs@shop.test")
    port.put_inside("mw:vip", "theirs@shop.test")
    port.desire(*PEOPLE)
    port.sync()
    port.desire()
    port.sync(overrides={"empty_source", "share_removed", "share_leaving"})
    held = port.held("theirs@shop.test")
    assert held is not None
    assert (held.status, held.fields) == ("subscribed", {"first_name": "Theirs", "city": "Theirs"})
    assert port.inside("mw:vip") == port.inside("newsletter") == {"theirs@shop.test"}
