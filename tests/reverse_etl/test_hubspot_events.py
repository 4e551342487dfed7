"""Events at HubSpot: one request each, and never again once it may have arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from reverse_etl.destination import BatchOutcome, Event
from reverse_etl.errors import DestinationConfigError, RejectedClass
from reverse_etl.events import as_text
from tests.reverse_etl.events_world import LATER, Happening, states, write_events
from tests.reverse_etl.hubspot_world import HubSpotWorld, declare, fake_hubspot
from tests.reverse_etl.world import Person

ANN, BOB = Happening("ann@shop.test"), Happening("bob@shop.test", "cart")
PEOPLE = (Person("ann@shop.test"), Person("bob@shop.test"))
EVENTS: dict[str, Any] = {
    "model": "sync_esp__events",
    "include": [{"event": "entered_segment", "name": "pe1_entered_segment"}],
    "properties": [{"column": "segment_name"}],
}


@pytest.fixture
def begun(hubspot: HubSpotWorld) -> HubSpotWorld:
    declare(hubspot.settings, events=EVENTS)
    hubspot.desire(*PEOPLE)
    write_events(hubspot.settings)
    hubspot.sync()
    hubspot.desire(*PEOPLE, as_of=LATER)
    return hubspot


def told(world: HubSpotWorld, email: str) -> list[dict[str, str]]:
    contact = world.twin.contact(email)
    assert contact is not None
    return [row["properties"] for row in world.twin.store.events.of(str(contact.id))]


def test_an_event_is_sent_once(begun: HubSpotWorld) -> None:
    write_events(begun.settings, [ANN, BOB])
    report = begun.sync()
    assert (report.events, report.writes, report.is_complete) == (2, 2, True)
    assert told(begun, ANN.email) == [{"segment_name": "vip"}]
    assert begun.sync().writes == 0


def test_somebody_who_was_just_created_is_told_in_the_same_run(begun: HubSpotWorld) -> None:
    eve = Happening("eve@shop.test")
    begun.desire(*PEOPLE, Person(eve.email), as_of=LATER)
    write_events(begun.settings, [eve])
    report = begun.sync()
    assert (report.created, report.events, report.passes) == (1, 1, 1)
    assert told(begun, eve.email) == [{"segment_name": "vip"}]


@pytest.mark.parametrize(("kind", "arrived"), [("close_before", 0), ("close_after", 1), ("500", 0)])
def test_an_unanswered_event_stays_in_doubt(begun: HubSpotWorld, kind: str, arrived: int) -> None:
    """Its uuid is the same each time, but nothing says that HubSpot looks at it."""
    write_events(begun.settings, [ANN])
    begun.twin.faults.add(kind, method="POST", path="/events/v3/send")  # pyright: ignore[reportArgumentType]
    report = begun.sync()
    assert (report.events_in_doubt, report.is_complete) == (1, True)
    assert begun.sync().writes == 0
    assert (states(begun), len(told(begun, ANN.email))) == ({ANN.key: "in_doubt"}, arrived)


def _answered(*statuses: int, keys: str = "a") -> tuple[BatchOutcome, int]:
    waiting = list(statuses)

    def handler(_: httpx.Request) -> httpx.Response:
        status = waiting.pop(0)
        body = {"status": "error", "category": "VALIDATION_ERROR", "message": "a@shop.test is wrong"}
        return httpx.Response(status, json=None if status < 300 else body)

    target = fake_hubspot(handler)
    events = [
        Event(key, "a@shop.test", {"n": 1.5}, "7", name="pe1_e", occurred_at=datetime(2026, 1, 1)) for key in keys
    ]
    outcome = target.send_events(events)
    target.close()
    return outcome, len(statuses) - len(waiting)


@pytest.mark.parametrize(
    ("statuses", "kind", "rejected_class", "asked"),
    [
        ((204,), "confirmed", None, 1),
        ((429, 429, 204), "confirmed", None, 3),
        ((500,), "in_doubt", None, 1),
        ((400,), "rejected", RejectedClass.DATA, 1),
        ((401,), "rejected", RejectedClass.RETRYABLE, 1),
        ((403,), "rejected", RejectedClass.RETRYABLE, 1),
    ],
)
def test_answers(statuses: tuple[int, ...], kind: str, rejected_class: RejectedClass | None, asked: int) -> None:
    outcome, n = _answered(*statuses)
    assert (outcome.of("a").kind, outcome.of("a").rejected_class, n) == (kind, rejected_class, asked)
    assert "@" not in outcome.of("a").message


def test_an_account_without_events_is_one_clear_message() -> None:
    outcome, asked = _answered(403, keys="ab")
    assert isinstance(outcome.stop, DestinationConfigError)
    assert "analytics.behavioral_events.send" in (outcome.stop.todo or "")
    assert asked == 1
    assert {outcome.of(key).rejected_class for key in "ab"} == {RejectedClass.RETRYABLE}


def test_one_without_an_answer_leaves_the_others_unsent() -> None:
    outcome, asked = _answered(204, 500, keys="abc")
    assert [outcome.of(key).kind for key in "abc"] == ["confirmed", "in_doubt", "rejected"]
    assert asked == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (True, "true"), (3, "3"), (3.0, "3"), (1.25, "1.25"), (1e-7, "0.0000001"), ([1, "ü"], '[1, "ü"]')],
)
def test_properties_are_text(value: Any, text: str) -> None:
    assert as_text(value) == text
