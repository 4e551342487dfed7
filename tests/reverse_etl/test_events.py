"""Events: sent once, to people who are there and may be mailed; at Mailchimp, which knows them by no key."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reverse_etl import ledger, outbox, sending
from reverse_etl.context import stopping
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.errors import DestinationConfigError, DestinationDown, GuardTripped, RejectedClass, Stopped
from reverse_etl.repair import rejected, retry, skip
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.events_world import EVENTS, LATER, Happening, states, write_events
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import AS_OF, Person, World, hash_of, small_declaration
from warehouse.build import pin_clock
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError, RefusedError
from warehouse.settings import Settings
from warehouse.state import ensure_state

ANN, BOB = Happening("ann@shop.test"), Happening("bob@shop.test", "cart")
PEOPLE = (Person("ann@shop.test"), Person("bob@shop.test"))


@pytest.fixture
def begun(world: World) -> World:
    """A sync with events whose first run was at AS_OF: Ann and Bob are members."""
    small_declaration(world.settings, events=EVENTS, addresses="sync_esp__addresses")
    world.sync_name = "small"
    world.desire(*PEOPLE)
    write_events(world.settings)
    world.sync()
    world.desire(*PEOPLE, as_of=LATER)
    return world


def told(world: World, email: str) -> list[tuple[str, str]]:
    """(event, segment) that the twin has of somebody, in the order of arrival."""
    return [(row["name"], row["properties"].get("segment")) for row in world.twin.store.events.of(hash_of(email))]


def test_an_event_is_sent_once(begun: World) -> None:
    write_events(begun.settings, [ANN, BOB])
    plan = begun.plan()
    assert (plan.events, plan.events_blocked, plan.requests) == (2, {}, 2)
    report = begun.sync()
    assert (report.events, report.writes, report.is_complete) == (2, 2, True)
    assert (told(begun, ANN.email), told(begun, BOB.email)) == (
        [("entered_segment", "vip")], [("entered_segment", "cart")]
    )  # fmt: skip
    assert states(begun) == {ANN.key: "confirmed", BOB.key: "confirmed"}
    again = begun.sync()
    assert (again.events, again.writes) == (0, 0)
    assert begun.rows("select count(*) from ledger.outbox where event_id in (?, ?)", ANN.key, BOB.key) == [(0,)]
    check_folds(begun.rows)


def test_the_first_run_sends_no_history(world: World) -> None:
    small_declaration(world.settings, events=EVENTS)
    world.sync_name = "small"
    world.desire(*PEOPLE)
    history = [Happening(ANN.email, at=AS_OF), Happening(BOB.email, at=AS_OF - timedelta(hours=3))]
    write_events(world.settings, history)
    assert world.plan().events_blocked == {"before_first_run": 2}
    assert world.sync(dry_run=True).events == 0
    report = world.sync()
    assert (report.events, report.events_blocked) == (0, {"before_first_run": 2})
    write_events(world.settings, [*history, ANN])
    world.desire(*PEOPLE, as_of=LATER)
    report = world.sync()
    assert (report.events, report.events_blocked) == (1, {})
    assert told(world, ANN.email) == [("entered_segment", "vip")]
    assert told(world, BOB.email) == []


def test_looking_begins_nothing(begun: World) -> None:
    """A plan and a dry run say what they would do; from when on events are sent is for a run to say."""
    small_declaration(begun.settings, events={**EVENTS, "include": [{"event": "entered_segment"}, {"event": "other"}]})
    begun.plan()
    begun.sync(dry_run=True)
    assert begun.rows("select event_name, baseline_at from ledger.outbox_baselines") == [("entered_segment", AS_OF)]
    begun.sync()
    assert set(begun.rows("select event_name, baseline_at from ledger.outbox_baselines")) == {
        ("entered_segment", AS_OF), ("other", LATER),
    }  # fmt: skip


def test_a_kind_that_was_left_out_begins_anew(begun: World) -> None:
    """Switching events off and on again is how one lets a flood go by."""
    write_events(begun.settings, [ANN])
    small_declaration(begun.settings, addresses="sync_esp__addresses")
    assert begun.plan().events == 0
    begun.sync()
    small_declaration(begun.settings, events=EVENTS, addresses="sync_esp__addresses")
    assert begun.plan().events_blocked == {"before_first_run": 1}
    begun.sync()
    assert told(begun, ANN.email) == []


def test_what_is_too_old_is_not_sent(begun: World) -> None:
    late = LATER + timedelta(days=1, seconds=1)
    write_events(begun.settings, [ANN, Happening(BOB.email, at=LATER + timedelta(seconds=2))])
    begun.desire(*PEOPLE, as_of=late)
    plan = begun.plan()
    assert (plan.events, plan.events_blocked) == (1, {"too_old": 1})
    begun.sync()
    assert (told(begun, ANN.email), len(told(begun, BOB.email))) == ([], 1)


def test_time_passes_after_a_build(begun: World) -> None:
    """The rows speak of their as_of for ever; an event is news for a day from then on, by the wall clock."""
    write_events(begun.settings, [ANN])
    pin_clock(begun.settings, LATER)
    with connect(begun.settings, purpose="test") as con:
        con.execute(
            "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, finished_at, status) "
            "values ('b', ?, ?, ?, ?, ?, 'succeeded')",
            [begun.settings.schema, LATER, LATER, utcnow() - timedelta(days=2), utcnow() - timedelta(hours=23)],
        )
    assert begun.plan().events == 1
    with connect(begun.settings, purpose="test") as con:
        con.execute("update ops.builds set finished_at = ?", [utcnow() - timedelta(hours=24, seconds=1)])
    assert begun.plan().events_blocked == {"too_old": 1}


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "transactional", "archived"])
def test_who_may_not_be_mailed_there_gets_no_event(begun: World, status: str) -> None:
    member = begun.twin.member(ANN.email)
    assert member is not None
    member.status = status
    begun.twin.store.put_member(DEFAULT_LIST, member)
    write_events(begun.settings, [ANN])
    plan = begun.plan()
    reason = "no_consent" if status == "unsubscribed" else f"{status}_in_destination"
    assert (plan.events, plan.events_blocked) == (0, {reason: 1})
    begun.sync()
    assert told(begun, ANN.email) == []


@pytest.mark.parametrize(
    ("of_person", "of_event"), [("update_only", "subscribe"), ("subscribe", "update_only"), ("subscribe", None)]
)
def test_without_a_verdict_there_is_no_event(begun: World, of_person: str, of_event: str | None) -> None:
    begun.desire(Person(ANN.email, of_person), as_of=LATER)
    write_events(begun.settings, [replace(ANN, verdict=of_event)])
    assert begun.plan().events_blocked == {"no_consent": 1}
    begun.sync(overrides=["share_removed"])
    assert told(begun, ANN.email) == []


def _before_the_last_wave(world: World, act: Callable[[], None]) -> Callable[[str, int, int], None]:
    """Something happens between the plan and the events' going out."""

    def progress(what: str, done: int, of: int) -> None:
        if what == "send" and done == of - 1:
            act()

    return progress


def test_consent_is_asked_again_when_the_event_goes_out(begun: World) -> None:
    write_events(begun.settings, [ANN, BOB])
    withdrawn = _before_the_last_wave(
        begun, lambda: begun.desire(Person(ANN.email, "unsubscribe"), Person(BOB.email), as_of=LATER)
    )
    report = begun.sync(on_progress=withdrawn)
    assert report.events == 1
    assert (told(begun, ANN.email), len(told(begun, BOB.email))) == ([], 1)
    assert states(begun) == {BOB.key: "confirmed"}


def test_an_event_waits_for_its_person(begun: World) -> None:
    """She is created first; as long as that fails, nothing is sent of her."""
    eve = Happening("eve@shop.test")
    begun.desire(*PEOPLE, Person(eve.email), as_of=LATER)
    write_events(begun.settings, [eve])
    begun.twin.faults.add("429", times=-1, method="POST", path="lists/[a-z]+$")
    assert begun.plan().events == 1
    with pytest.raises(DestinationDown):
        begun.sync()
    assert begun.rows("select 1 from ledger.sync_attempts where object = 'event'") == []
    begun.twin.faults.clear()
    report = begun.sync()
    assert (report.created, report.events) == (1, 1)
    posted = [path for method, path, _, _ in begun.transport.log if method == "POST"]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert posted[-2].endswith(f"/lists/{DEFAULT_LIST}")
    assert posted[-1].endswith(f"/members/{hash_of(eve.email)}/events")


def test_who_is_never_created_gets_none(begun: World) -> None:
    fake = Happening("eve@shop.invalid")
    begun.desire(*PEOPLE, Person(fake.email), as_of=LATER)
    write_events(begun.settings, [fake])
    report = begun.sync()
    assert (report.rejected, report.events) == ({"data": 1}, 0)
    assert begun.plan().events_blocked == {"not_a_member": 1}
    assert begun.twin.store.events.of() == []


def test_an_unanswered_event_stays_in_doubt(begun: World) -> None:
    """The vendor knows it by no key: it may have arrived, and is not sent again, by no run and no blanket retry."""
    write_events(begun.settings, [ANN, BOB])
    begun.twin.faults.add("close_after", method="POST", path=f"{hash_of(ANN.email)}/events")
    report = begun.sync()
    assert (report.events, report.events_in_doubt, report.in_doubt, report.is_complete) == (1, 1, 0, True)
    assert any("1 events were sent and not answered" in note for note in report.notes)
    assert states(begun) == {ANN.key: "in_doubt", BOB.key: "confirmed"}
    assert retry(begun.settings, "small") == 0
    again = begun.sync()
    assert (again.events, again.writes, again.held, again.events_in_doubt) == (0, 0, {"in_doubt": 1}, 1)
    assert len(told(begun, ANN.email)) == 1
    with connect(begun.settings) as con:
        (row,) = rejected(con, "small")
    assert (row["object"], row["event_name"], row["state"]) == ("event", "entered_segment", "in_doubt")
    check_folds(begun.rows)


def test_a_person_decides_about_a_doubtful_event(begun: World) -> None:
    write_events(begun.settings, [ANN, BOB])
    begun.twin.faults.add("close_before", times=2, method="POST", path="/events")
    begun.sync()
    assert states(begun) == {ANN.key: "in_doubt", BOB.key: "in_doubt"}
    assert retry(begun.settings, "small", people=[hash_of(ANN.email)]) == 1
    assert skip(begun.settings, "small", "seen there", people=[hash_of(BOB.email)]) == 1
    report = begun.sync()
    assert (report.events, report.events_in_doubt) == (1, 0)
    assert (len(told(begun, ANN.email)), told(begun, BOB.email)) == (1, [])
    assert begun.sync().writes == 0
    # it was skipped because it may have arrived: that is as true for a retry that names nobody
    assert retry(begun.settings, "small") == 0
    assert begun.sync().writes == 0
    assert retry(begun.settings, "small", people=[hash_of(BOB.email)]) == 1
    assert begun.sync().events == 1
    check_folds(begun.rows)


@pytest.mark.parametrize("kind", ["429", "403"])
def test_what_was_throttled_is_sent_later(begun: World, kind: str) -> None:
    write_events(begun.settings, [ANN])
    begun.twin.faults.add(kind, times=-1, method="POST", path="/events")  # pyright: ignore[reportArgumentType]
    with pytest.raises(DestinationDown):
        begun.sync()
    assert states(begun) == {ANN.key: "rejected"}
    begun.twin.faults.clear()
    assert begun.sync().events == 1
    assert len(told(begun, ANN.email)) == 1
    check_folds(begun.rows)


def test_a_member_who_is_gone_when_her_event_goes_out(begun: World) -> None:
    write_events(begun.settings, [ANN])
    gone = _before_the_last_wave(begun, lambda: begun.twin.store.forget(DEFAULT_LIST, hash_of(ANN.email)))
    report = begun.sync(on_progress=gone)
    assert (report.events, report.rejected) == (0, {"retryable": 1})
    assert begun.plan().events_blocked == {"not_a_member": 1}


def test_a_refused_event_is_held_until_a_person_says_so(begun: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused for its content; the vendor's words have no address in them."""
    write_events(begun.settings, [ANN])
    monkeypatch.setattr("reverse_etl.destinations.mailchimp_events.body_of", lambda _: {"name": "n"})
    monkeypatch.setattr(begun, "transport", None)
    report = begun.sync()
    assert (report.events, report.rejected) == (0, {"data": 1})
    monkeypatch.undo()
    assert begun.plan().held == {"data": 1}
    assert begun.sync().writes == 0
    assert retry(begun.settings, "small", classes=[RejectedClass.DATA]) == 1
    assert begun.sync().events == 1
    assert len(told(begun, ANN.email)) == 1


def test_events_of_a_person_go_out_in_their_order(begun: World) -> None:
    times = [LATER + timedelta(minutes=n) for n in (5, 1, 3)]
    write_events(begun.settings, [Happening(ANN.email, f"s{at.minute}", at) for at in times])
    begun.desire(*PEOPLE, as_of=LATER + timedelta(hours=1))
    assert begun.sync().events == 3
    assert [segment for _, segment in sorted(told(begun, ANN.email))] == ["s1", "s3", "s5"]
    numbered = begun.rows(
        """select o.occurred_at from ledger.sync_attempts as a
           inner join ledger.outbox as o on a.record_key = o.event_id
           where a.outcome = 'sent' order by a.attempt_number"""
    )
    assert [at for (at,) in numbered] == sorted(times)


def test_properties_without_a_value_are_left_out(settings: Settings) -> None:
    events = small_declaration(settings, events=EVENTS).events
    assert events is not None
    row = {"record_key": "k", "email": ANN.email, "remote_id": None, "subscriber_hash": "h", "may_be_there": False,
           "event_name": "entered_segment", "occurred_at": LATER,
           "properties": '{"a": NaN, "b": -Infinity, "c": null, "d": 0, "e": "", "f": 1.5}'}  # fmt: skip
    assert outbox.event_of(events, row).fields == {"d": 0, "e": "", "f": 1.5}


def test_an_address_that_became_another_one_is_not_told_again(begun: World) -> None:
    """Ann's event went to her old address. Her profile calls itself after the new one now, and so does the event."""
    write_events(begun.settings, [ANN])
    begun.sync()
    new = Person("new@shop.test", other_addresses=(ANN.email,))
    begun.desire(new, Person(BOB.email), as_of=LATER)
    write_events(begun.settings, [Happening(new.email), Happening(new.email, "cart")])
    plan = begun.plan()
    assert (plan.events, plan.events_blocked) == (1, {"told_at_another_address": 1})
    begun.sync()
    assert told(begun, new.email) == [("entered_segment", "cart")]


@pytest.mark.parametrize("reworded", ["property", "value"])
def test_another_wording_is_not_told_at_another_address(begun: World, reworded: str) -> None:
    """A property that was renamed, or a value that changed, makes no second event of it."""
    write_events(begun.settings, [ANN])
    begun.sync()
    new = Person("new@shop.test", other_addresses=(ANN.email,))
    begun.desire(new, Person(BOB.email), as_of=LATER)
    segment = "gold" if reworded == "value" else ANN.segment
    if reworded == "property":
        properties = [{"column": "segment_name", "name": "group"}]
        small_declaration(
            begun.settings, events={**EVENTS, "properties": properties}, addresses="sync_esp__addresses"
        )  # fmt: skip
    write_events(begun.settings, [Happening(new.email, segment), Happening(new.email, at=LATER + timedelta(minutes=1))])
    plan = begun.plan()
    assert (plan.events, plan.events_blocked) == (1, {"told_at_another_address": 1})


def test_two_syncs_to_one_destination_tell_an_event_once(begun: World) -> None:
    """Planned by both before either has sent it, even."""
    folder = begun.settings.home / "syncs"
    (folder / "twice.yml").write_text((folder / "small.yml").read_text().replace("name: small", "name: twice"))
    write_events(begun.settings)
    begun.sync_name = "twice"
    begun.sync()
    write_events(begun.settings, [replace(one, at=LATER + timedelta(minutes=1)) for one in (ANN, BOB)])
    begun.desire(*PEOPLE, as_of=LATER + timedelta(hours=1))
    begun.sync_name = "small"

    def other() -> None:
        begun.sync_name = "twice"
        assert begun.sync().events == 2
        begun.sync_name = "small"

    assert begun.sync(on_progress=_before_the_last_wave(begun, other)).events == 0
    assert (len(told(begun, ANN.email)), len(told(begun, BOB.email))) == (1, 1)
    assert begun.plan().events_blocked == {"told_by_another_sync": 2}


def test_more_events_than_usual_trip_the_guard(begun: World) -> None:
    """A fifth of the members, or as many as are said."""

    def declare(**guards: Any) -> None:
        small_declaration(begun.settings, events=EVENTS, guards={"min_records": 0, **guards})

    write_events(begun.settings, [ANN, BOB])
    declare()
    with pytest.raises(GuardTripped, match="max_events: 2 events would be sent; at most 0 may") as caught:
        begun.sync()
    assert "max_events" in (caught.value.todo or "")
    for number in range(8):
        begun.twin.put(f"other{number}@shop.test")
    declare(max_events=1)
    with pytest.raises(GuardTripped, match="at most 1 may"):
        begun.sync()
    assert begun.sync(overrides=["max_events"]).events == 2
    declare()
    write_events(begun.settings, [Happening(ANN.email, "a"), Happening(ANN.email, "b")])
    assert begun.sync().events == 2


def test_a_plan_that_was_looked_at(begun: World) -> None:
    write_events(begun.settings, [ANN])
    plan = begun.plan()
    write_events(begun.settings, [BOB])
    with pytest.raises(RefusedError, match="data moved"):
        begun.sync(plan=plan)
    write_events(begun.settings, [ANN])
    assert begun.sync(plan=plan).events == 1


def test_no_wave_of_events_follows_one_that_is_not_answered(begun: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run leaves in doubt of them stays so: one wave. An answer comes when the run has begun to wait."""
    write_events(begun.settings, [Happening(ANN.email, f"s{n}") for n in range(4)])
    monkeypatch.setattr(ledger, "EVENT_BATCHES_PER_WAVE", 1)
    send, take, begins = Mailchimp.send_events, ledger.take_wave, threading.Semaphore(0)
    answered, before = [0], list[int]()

    def wait(*args: Any, **options: Any) -> Any:
        begins.release()
        return concurrent.futures.wait(*args, **options)

    def send_events(*args: Any) -> Any:
        begins.acquire(timeout=30)
        outcome = send(*args)
        answered[0] += 1
        return outcome

    def take_wave(*args: Any) -> Any:
        before.append(answered[0])
        return take(*args)

    monkeypatch.setattr(sending, "wait", wait)
    monkeypatch.setattr(Mailchimp, "send_events", send_events)
    monkeypatch.setattr(ledger, "take_wave", take_wave)
    assert begun.sync().events == 4
    assert before == [0, 1, 2, 3]


def test_a_stopped_run_leaves_nothing_half_sent(begun: World, monkeypatch: pytest.MonkeyPatch) -> None:
    happenings = [Happening(ANN.email, f"s{n}") for n in range(20)]
    write_events(begun.settings, happenings)
    waves = iter([None, Stopped("asked to end")])

    def check() -> None:
        wish = next(waves)
        if wish is not None:
            raise wish

    monkeypatch.setattr(stopping, "check", check)
    with pytest.raises(Stopped):
        begun.sync()
    monkeypatch.undo()
    assert len(told(begun, ANN.email)) == ledger.EVENT_BATCHES_PER_WAVE
    assert begun.sync().events == 20 - ledger.EVENT_BATCHES_PER_WAVE
    assert len(told(begun, ANN.email)) == 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [([replace(ANN, event_id="e"), replace(BOB, event_id="e")], "1 rows of the model have no key of their own")],
)
def test_an_event_that_is_there_twice(begun: World, rows: list[Happening], message: str) -> None:
    write_events(begun.settings, rows)
    with pytest.raises(DataError, match=message):
        begun.plan()


def test_a_column_that_is_not_there(begun: World) -> None:
    small_declaration(begun.settings, events={**EVENTS, "properties": [{"column": "price"}]})
    with pytest.raises(ConfigError, match="columns that its model does not have: price"):
        begun.plan()


@pytest.mark.parametrize(
    ("kind", "names", "properties", "message"),
    [
        ("mailchimp", ["e"], [], "Names of Mailchimp's events have 2 to 30 characters: e"),
        ("mailchimp", ["e" * 31], [], "have 2 to 30 characters"),
        ("klaviyo", ["e" * 128], [], "has more than 127 characters"),
        ("klaviyo", ["e"], [f"p{n}" for n in range(401)], "at most 400 properties"),
        ("hubspot", ["entered_segment"], [], "entered_segment is no full name of an event"),
        ("hubspot", ["pe1_e"], ["Segment"], "Segment is no name of a property"),
        ("hubspot", ["pe1_e"], [f"p{n}" for n in range(51)], "at most 50 properties"),
        ("sendgrid", ["e"], [], "The destination 'sendgrid' takes no events"),
    ],
)
def test_names_that_a_destination_cannot_have(
    settings: Settings, kind: str, names: list[str], properties: list[str], message: str
) -> None:
    made = {
        "mailchimp": lambda: Mailchimp("k-us1", "list", base_url="http://x"),
        "klaviyo": lambda: Klaviyo("k", "list"),
        "hubspot": lambda: HubSpot("t", "1"),
        "sendgrid": lambda: SendGrid("k", base_url="http://x"),
    }[kind]()
    declaration = small_declaration(
        settings,
        destination=kind,
        events={
            "model": "sync_esp__events",
            "include": [{"event": f"e{n}", "name": name} for n, name in enumerate(names)],
            "properties": [{"column": f"c{n}", "name": name} for n, name in enumerate(properties)],
        },
    )
    with closing(made), pytest.raises(DestinationConfigError, match=message):
        outbox.check_destination(declaration, made)


def test_waves_of_events_stay_small(settings: Settings) -> None:
    """What a killed run leaves in doubt is at most one wave, and may stay so for ever; fields are only sent again."""
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        for operation in ("update", "event"):
            con.execute(
                """insert into ledger.sync_plan_items (plan_id, sync_name, destination, object, record_key,
                       subscriber_hash, operation, batch_number)
                   select 'p', 's', 'd', 'x', cast(i as text), 'h', ?, i + ? from range(40) as r (i)""",
                [operation, 0 if operation == "update" else 100],
            )
        found = ledger.waves(con, "p", 16, 8_000)
    assert [(operation, len(numbers)) for operation, numbers in found] == [
        ("update", 40), ("event", 16), ("event", 16), ("event", 8),
    ]  # fmt: skip


def test_what_another_sync_told_meanwhile_is_not_told_again(begun: World) -> None:
    """Throttled here, told there: to the person it is one event."""
    own = begun.settings.home / "syncs"
    (own / "second.yml").write_text((own / "small.yml").read_text().replace("name: small", "name: second"))
    begun.sync_name = "second"
    begun.desire(*PEOPLE)
    begun.sync()
    begun.desire(*PEOPLE, as_of=LATER)
    write_events(begun.settings, [ANN])
    begun.sync_name = "small"
    begun.twin.faults.add("429", times=-1, method="POST", path="events")
    with pytest.raises(DestinationDown):
        begun.sync()
    begun.twin.faults.clear()
    begun.sync_name = "second"
    assert begun.sync().events == 1
    begun.sync_name = "small"
    assert begun.sync().events == 0
    assert told(begun, ANN.email) == [("entered_segment", "vip")]
