"""Events: sent once, to people who are there and may be mailed; at Mailchimp, which knows them by no key."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reverse_etl import runner
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.errors import DestinationConfigError, GuardTripped
from reverse_etl.repair import rejected, retry, skip
from tests.reverse_etl.events_world import EVENTS, LATER, Happening, states, write_events
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.world import AS_OF, Person, World, hash_of, small_declaration

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
    _ledger_folds(begun)
