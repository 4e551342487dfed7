"""Events at Klaviyo, which knows them by our key: doubtful ones are sent again, and arrive once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from reverse_etl.destination import Event
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.klaviyo_events import ENVELOPE, bulk, size
from reverse_etl.errors import DestinationConfigError, RejectedClass
from tests.reverse_etl.events_world import EVENTS, LATER, Happening, states, write_events
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person, write_models
from warehouse.connection import connect
from warehouse.settings import Settings

ANN, BOB = Happening("ann@shop.test"), Happening("bob@shop.test", "cart")
PEOPLE = (Person("ann@shop.test"), Person("bob@shop.test"))
NAMED = {**EVENTS, "include": [{"event": "entered_segment", "name": "Entered segment"}]}


@pytest.fixture
def begun(klaviyo_world: KlaviyoWorld) -> KlaviyoWorld:
    world = klaviyo_world
    klaviyo_declaration(world.settings, events=NAMED)
    world.desire(*PEOPLE)
    write_events(world.settings)
    world.sync()
    write_models(world.settings, PEOPLE, LATER)
    write_events(world.settings, [ANN, BOB])
    return world


def told(world: KlaviyoWorld, email: str) -> list[tuple[str, str]]:
    """(event's key, segment) that the twin has of somebody once all it accepted is processed."""
    while world.twin.store.open_jobs():
        world.twin.door.worker.tick()
    profile = world.twin.profile(email)
    assert profile is not None
    return [(row["key"], row["properties"]["segment"]) for row in world.twin.store.events.of(profile.id)]


def test_events_go_out_together(begun: KlaviyoWorld) -> None:
    plan = begun.plan()
    assert (plan.events, plan.requests) == (2, 1)
    report = begun.sync()
    assert (report.events, report.writes) == (2, 1)
    assert told(begun, ANN.email) == [(ANN.key, "vip")]
    assert told(begun, BOB.email) == [(BOB.key, "cart")]
    assert {row["name"] for row in begun.twin.store.events.of()} == {"Entered segment"}
    assert begun.sync().writes == 0


@pytest.mark.parametrize(
    ("kind", "polls", "failed"), [("close_before", 1, 0), ("500", 1, 0), ("close_after", 1, 0), ("close_after", 99, 1)]
)
def test_a_doubtful_event_is_sent_again_with_its_key(begun: KlaviyoWorld, kind: str, polls: int, failed: int) -> None:
    """One by one: a bulk request that repeats a key fails as a whole, and takes the others with it. That holds for the
    first one too, if it is processed so late that its events are there already."""
    begun.twin.door.worker.polls = polls
    begun.twin.faults.add(kind, method="POST", path="event-bulk")  # pyright: ignore[reportArgumentType]
    report = begun.sync()
    assert (report.events, report.events_in_doubt, report.in_doubt, report.is_complete) == (2, 0, 0, True)
    assert told(begun, ANN.email) == [(ANN.key, "vip")]
    assert told(begun, BOB.email) == [(BOB.key, "cart")]
    assert states(begun) == {ANN.key: "confirmed", BOB.key: "confirmed"}
    assert begun.twin.store.counters().get("bulk_events_failed", 0) == failed
    check_folds(begun.rows)


def test_new_events_do_not_share_a_request_with_doubtful_ones(begun: KlaviyoWorld) -> None:
    begun.twin.faults.add("close_after", times=-1, method="POST", path="events?")
    report = begun.sync()
    assert (report.in_doubt, report.events_in_doubt, report.is_complete) == (1, 2, False)
    begun.twin.faults.clear()
    new = Happening(ANN.email, "lapsed")
    write_events(begun.settings, [new, BOB])  # what was sent is sent again, though the model has it no more
    assert begun.sync().events == 3
    assert sorted(told(begun, ANN.email)) == sorted([(ANN.key, "vip"), (new.key, "lapsed")])
    assert told(begun, BOB.email) == [(BOB.key, "cart")]


def test_somebody_who_was_just_created_is_told_once_her_id_is_known(begun: KlaviyoWorld) -> None:
    eve = Happening("eve@shop.test")
    write_models(begun.settings, [*PEOPLE, Person(eve.email)], LATER)
    write_events(begun.settings, [eve])
    report = begun.sync()
    assert (report.created, report.events, report.passes, report.is_complete) == (1, 1, 2, True)
    assert told(begun, eve.email) == [(eve.key, "vip")]
    # by her id alone: an address would create whoever is not there
    sent = [body for _, _, body, _ in begun.requests("/event")]
    assert "@" not in str(sent)


def test_who_has_not_confirmed_her_subscription_yet_waits(settings: Settings, tmp_path: Path) -> None:
    """There, and asked by the list's mail to confirm: her event would mail somebody who has not said yes."""
    eve = Happening("eve@shop.test")
    with KlaviyoServer(tmp_path / "double.sqlite", double_opt_in=True) as twin, connect(settings, purpose="test"):
        world = KlaviyoWorld(settings, twin)
        klaviyo_declaration(settings, events=NAMED)
        write_models(settings, [Person(BOB.email, "update_only")])
        write_events(settings)
        world.sync()
        twin.put(eve.email, "NEVER_SUBSCRIBED")
        write_models(settings, [Person(BOB.email, "update_only"), Person(eve.email)], LATER)
        write_events(settings, [eve])
        assert world.plan().events == 1
        assert world.sync().created == 1
        assert told(world, eve.email) == []
        twin.put(eve.email)  # she answers the list's mail
        assert world.sync().events == 1
        assert told(world, eve.email) == [(eve.key, "vip")]


def test_a_deleted_profile_costs_the_others_nothing(begun: KlaviyoWorld) -> None:
    ann = begun.twin.profile(ANN.email)
    assert ann is not None

    def progress(what: str, done: int, of: int) -> None:
        if what == "send" and done == of - 1:
            begun.twin.store.drop_profile(ANN.email)

    report = begun.sync(on_progress=progress)
    assert (report.events, report.rejected) == (1, {"data": 1})
    assert told(begun, BOB.email) == [(BOB.key, "cart")]
    assert begun.twin.profile(ANN.email) is None


def _event(key: str = "e1", *, again: bool = False, remote_id: str | None = "01A", **fields: Any) -> Event:
    return Event(
        key, "a@shop.test", fields, remote_id, name="N", occurred_at=datetime(2026, 1, 1), may_be_there=again
    )  # fmt: skip


def _answered(*statuses: int, events: list[Event]) -> tuple[Any, list[str]]:
    """(the outcome, paths asked) of a connector that is answered with these statuses in turn."""
    asked: list[str] = []
    waiting = list(statuses)

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        status = waiting.pop(0)
        error = {"errors": [{"id": "1", "code": "x", "title": "No", "detail": "a@shop.test is wrong"}]}
        return httpx.Response(status, json=None if status < 300 else error)

    target = Klaviyo(
        "k", "list", base_url="http://x", transport=httpx.MockTransport(handler), sleep=lambda _: None,
        clock=lambda: 0.0,
    )  # fmt: skip
    outcome = target.send_events(events)
    target.close()
    return outcome, asked


def test_no_bulk_request_is_repeated() -> None:
    outcome, asked = _answered(500, events=[_event("a"), _event("b")])
    assert asked == ["/event-bulk-create-jobs"]
    assert (outcome.of("a").kind, outcome.of("b").kind) == ("in_doubt", "in_doubt")
    assert outcome.stop is not None


def test_a_single_one_is_repeated_within_the_run() -> None:
    outcome, asked = _answered(500, 429, 202, events=[_event(again=True)])
    assert (outcome.of("e1").kind, asked) == ("confirmed", ["/events"] * 3)


def test_one_that_is_refused_is_found_among_the_others() -> None:
    outcome, _ = _answered(400, 202, 400, events=[_event("a"), _event("b")])
    assert {outcome.of("a").kind, outcome.of("b").kind} == {"confirmed", "rejected"}
    refused, _ = _answered(400, events=[_event(again=True)])
    assert refused.of("e1").rejected_class is RejectedClass.DATA
    assert "@" not in refused.of("e1").message


def test_a_key_without_the_right_stops_it_before_the_new_ones() -> None:
    outcome, asked = _answered(403, events=[_event("a", again=True), _event("b", again=True), _event("c")])
    assert asked == ["/events"]
    assert isinstance(outcome.stop, DestinationConfigError)
    assert {outcome.of(key).rejected_class for key in "abc"} == {RejectedClass.RETRYABLE}


def test_what_cannot_be_sent() -> None:
    outcome, asked = _answered(events=[_event("a", remote_id=None), _event("b", text="ü" * 50_001)])
    assert asked == []
    assert outcome.of("a").rejected_class is RejectedClass.RETRYABLE
    assert (outcome.of("b").rejected_class, outcome.of("b").message) == (
        RejectedClass.DATA, "text: more than 100000 bytes.",
    )  # fmt: skip


def test_a_request_is_no_larger_than_its_events_together() -> None:
    events = [_event(f"e{n}", remote_id=f"0{n % 3}", text="ü" * n) for n in range(20)]
    transport = httpx.MockTransport(lambda _: httpx.Response(202))
    with httpx.Client(transport=transport) as client:
        body = client.build_request("POST", "http://x", json=bulk(events)).content
    assert len(body) <= ENVELOPE + sum(size(event) for event in events)
    assert len(bulk(events)["data"]["attributes"]["events-bulk-create"]["data"]) == 3
