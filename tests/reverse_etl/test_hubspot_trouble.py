"""Things go wrong at HubSpot: one clear error, the ledger intact, and the next run converges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reverse_etl import sending
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer
from reverse_etl.limits import limit
from sandbox.twins.hubspot import Rates
from tests.reverse_etl.conftest import transport_at_hand
from tests.reverse_etl.hubspot_world import HubSpotTwin, HubSpotWorld, declare
from tests.reverse_etl.test_hubspot_sync import PEOPLE, _settled
from tests.reverse_etl.world import Person
from warehouse.connection import connect
from warehouse.settings import Settings


def test_the_tens_window_is_waited_for(hubspot: HubSpotWorld) -> None:
    """The vendor's clock goes on as the pauses do."""
    hubspot.desire(*PEOPLE)
    hubspot.twin.store.clock = lambda: 1_790_000_000 + sum(hubspot.naps)
    hubspot.twin.app.rates = Rates(per_10_seconds=5)
    report = hubspot.sync()
    assert report.created == 4
    assert report.throttled > 0
    assert sum(hubspot.naps) < 100
    _settled(hubspot)


def test_a_day_that_is_used_up_is_not_waited_for(hubspot: HubSpotWorld) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.twin.app.rates = Rates(used_today=250_000)
    with pytest.raises(DestinationDown, match="requests of today are used up") as caught:
        hubspot.sync()
    assert "midnight" in str(caught.value)
    assert hubspot.naps == []
    hubspot.twin.app.rates = Rates()
    assert hubspot.sync().created == 4
    _settled(hubspot)


def test_the_last_requests_of_a_day_are_left_to_others(hubspot: HubSpotWorld) -> None:
    hubspot.desire(*PEOPLE)
    keep = limit("hubspot", "requests_left_to_others")
    hubspot.twin.app.rates = rates = Rates(used_today=250_000 - keep - 10)
    with pytest.raises(DestinationDown, match="used up \\(or nearly"):
        hubspot.sync()
    assert rates.used_today == 250_000 - keep


@pytest.mark.parametrize("path", ["batch/upsert", "batch/write", "memberships", "batch/create", "lists$"])
def test_an_answer_that_never_comes_is_cleared_up(hubspot: HubSpotWorld, path: str) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.twin.faults.add("close_after", times=1, path=path)
    try:
        hubspot.sync()
    except NoAnswer:
        assert path in {"batch/create", "lists$"}  # what must not be made twice: the next run sees what is there
    hubspot.sync()
    assert {hubspot.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    assert hubspot.twin.inside("mw:vip") == {p.email for p in PEOPLE}
    _settled(hubspot)


def test_a_search_that_lags_costs_looks_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    with HubSpotTwin(tmp_path / "lag.sqlite", search_lag=15) as twin, connect(settings, purpose="test"):
        declare(settings)
        world = HubSpotWorld(settings, twin, transport_at_hand("hubspot"))
        world.desire(*PEOPLE)
        world.sync()
        twin.leave("p0@shop.test")
        twin.put("p4@shop.test", None, firstname="Anna")
        world.desire(*(Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "B"}) for n in range(5)))
        for _ in range(3):
            world.sync()
        assert twin.status("p0@shop.test") == "unsubscribed"
        assert twin.fields_of("p4@shop.test") == {"firstname": "Anna", "mw_city": "B"}
        _settled(world)


def test_somebody_deleted_meanwhile_is_created_anew_and_told(
    hubspot: HubSpotWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.sync()
    hubspot.desire(*(Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE))
    original = sending._send

    def late(destination: Any, batch: Any) -> Any:
        hubspot.twin.store.delete_contact("p0@shop.test")
        return original(destination, batch)

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_send", late)
        report = hubspot.sync()
    assert any("1 people who were to be updated had been deleted" in note for note in report.notes)


def test_a_list_or_property_that_goes_missing_is_one_error(
    hubspot: HubSpotWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubspot.desire(*PEOPLE)
    original = sending._send

    def late(destination: Any, batch: Any) -> Any:
        if batch.segment_id:
            hubspot.twin.store.drop_list(int(batch.segment_id))
        else:
            hubspot.twin.store.drop_property("mw_city")
        return original(destination, batch)

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_send", late)
        with pytest.raises(DestinationConfigError, match="no contact property mw_city"):
            hubspot.sync()
        city = {"name": "mw_city", "label": "City", "type": "string", "fieldType": "text", "groupName": "mailwright"}
        hubspot.twin.store.add_property(city)
        patch.setattr(hubspot.twin.store, "drop_property", lambda _: None)
        with pytest.raises(DestinationConfigError, match="does not know something that was there"):
            hubspot.sync()
    hubspot.sync()
    assert hubspot.twin.inside("mw:vip") == {p.email for p in PEOPLE}
    _settled(hubspot)
