"""Reading back at each vendor: what was confirmed is found as it was sent, and what was typed over is found out."""

from __future__ import annotations

from typing import Any

import pytest

from reverse_etl.audit import AuditReport, audit
from reverse_etl.sample import sample
from tests.reverse_etl.world import Person, hash_of

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": f"City {n}"}) for n in range(3)]
SHOWS_SEGMENTS = {"sendgrid": True, "klaviyo_world": False, "hubspot": False}


@pytest.fixture(params=sorted(SHOWS_SEGMENTS))
def vendor(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, request.getfixturevalue(request.param)


def _type_over(name: str, world: Any) -> None:
    """Somebody at the vendor writes another city into our field of p0."""
    email, store = "p0@shop.test", world.twin.store
    if name == "klaviyo_world":
        world.twin.put(email, mw_city="typed over")
        return
    contact = store.contact(email)
    if name == "hubspot":
        contact.properties["mw_city"] = "typed over"
    else:
        (field_id,) = [row["id"] for row in store.fields() if row["name"] == "mw_city"]
        contact.custom[field_id] = "typed over"
    store.put_contact(contact)


def _audit(world: Any, **options: Any) -> AuditReport:
    target = world.destination()
    try:
        return audit(world.settings, world.sync_name, destination=target, **options)
    finally:
        target.close()


def test_drift_is_found_and_repaired(vendor: tuple[str, Any]) -> None:
    name, world = vendor
    world.desire(*PEOPLE)
    assert world.sync().is_complete
    report = _audit(world)
    assert (report.n_checked, report.drifts, report.has_segments) == (3, {}, SHOWS_SEGMENTS[name])
    _type_over(name, world)
    report = _audit(world, repair=True)
    assert (report.n_drifted, report.drifts["field mw_city"]) == (1, 1)
    made = world.plan()
    target = world.destination()
    (shown,) = [one for one in sample(world.settings, made, 5, destination=target) if one.operation == "update"]
    target.close()
    assert shown.subscriber_hash == hash_of("p0@shop.test")
    assert shown.changes["mw_city"] == ("typed over", "City 0")
    world.sync()
    assert _audit(world).drifts == {}


def test_who_is_not_there_is_left_out(vendor: tuple[str, Any]) -> None:
    _, world = vendor
    world.desire(PEOPLE[0])
    world.sync()
    from reverse_etl.destination import Record

    target = world.destination()
    emails = ["p0@shop.test", "nobody@shop.test", "no address"]
    records = [Record(hash_of(email), email, subscriber_hash=hash_of(email)) for email in emails]
    found = target.read_back(records, ["mw_city"])
    target.close()
    assert [(one.subscriber_hash, dict(one.fields or {})) for one in found] == [
        (hash_of("p0@shop.test"), {"mw_city": "City 0"})
    ]
