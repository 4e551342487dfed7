"""Reading back what was confirmed: drift is found, named, and repaired by the next sync; nothing else is."""

from __future__ import annotations

import pytest

from reverse_etl.audit import AuditReport, audit
from reverse_etl.errors import DestinationDown
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import Person, World, hash_of, small_declaration

PEOPLE = [
    Person(f"p{n}@shop.test", "subscribe", ("vip", "cart"), {"city": "A", "first_name": f"N{n}"}) for n in range(6)
]


@pytest.fixture
def synced(world: World) -> World:
    fields = [
        {"column": "first_name", "field": "FNAME", "name": "First Name", "on_null": "fill_if_empty"},
        {"column": "city", "field": "MW_CITY", "name": "City"},
        {"column": "rec_1_price", "field": "MW_PRICE", "name": "Price", "type": "number"},
        {"column": "last_purchase_on", "field": "MW_LAST", "name": "Last", "type": "date"},
    ]
    small_declaration(world.settings, fields=fields)
    world.sync_name = "small"
    world.desire(*PEOPLE)
    assert world.sync().is_complete
    return world


def _audit(world: World, **options: object) -> AuditReport:
    target = world.destination()
    try:
        return audit(world.settings, "small", destination=target, **options)  # pyright: ignore[reportArgumentType]
    finally:
        target.close()


def test_what_is_as_confirmed_has_not_drifted(synced: World) -> None:
    writes = synced.twin.writes
    report = _audit(synced, repair=True)
    assert (report.n_confirmed, report.n_checked, report.n_drifted, report.n_repaired) == (6, 6, 0, 0)
    assert synced.twin.writes == writes
    assert synced.rows("select n_checked, n_drifted from ledger.sync_audits") == [(6, 0)]
    assert synced.plan().is_empty


def test_drift_is_named_and_repaired(synced: World) -> None:
    twin = synced.twin
    store = twin.store
    twin.put("p0@shop.test", MW_CITY="typed over", FNAME="N0")
    segment_id = store.segment_named(DEFAULT_LIST, "mw:vip")
    assert segment_id is not None
    store.set_in_segment(segment_id, hash_of("p1@shop.test"), False)
    twin.put("p2@shop.test", "unsubscribed", "member", MW_CITY="A", FNAME="N2")
    store.forget(DEFAULT_LIST, hash_of("p3@shop.test"))
    twin.put("p4@shop.test", MW_CITY="A", FNAME="typed there")  # filled only if empty: hers to keep
    twin.put_inside("mw:vip", "theirs@shop.test")
    report = _audit(synced)
    assert report.drifts == {"field MW_CITY": 1, "missing": 1, "segment mw:vip": 1, "status": 1}
    assert (report.n_drifted, report.n_repaired, report.share) == (4, 0, 4 / 6)
    assert _audit(synced, repair=True).n_repaired == 4
    check_folds(synced.rows)
    report = synced.sync()
    assert (report.created, report.updated, report.entering) == (0, 1, 1)
    # who left there, or was deleted there, is not brought back
    assert report.blocked == {"deleted_in_destination": 1, "unsubscribed_in_destination": 1}
    found = twin.member("p0@shop.test")
    assert found is not None
    assert found.merge_fields["MW_CITY"] == "A"
    assert hash_of("p1@shop.test") in twin.inside("mw:vip")
    assert twin.status("p2@shop.test") == "unsubscribed"
    check_folds(synced.rows)


def test_a_sample_is_another_one_each_time(synced: World) -> None:
    synced.twin.put("p0@shop.test", MW_CITY="typed over")
    found = [_audit(synced, sample=2) for _ in range(30)]
    assert {report.n_checked for report in found} == {2}
    assert {report.n_drifted for report in found} == {0, 1}


def test_what_is_not_in_sync_is_not_looked_at(synced: World) -> None:
    synced.desire(Person(PEOPLE[0].email, "subscribe", (), {"city": "B"}), *PEOPLE[1:3])
    assert _audit(synced).n_confirmed == 2


def test_a_destination_that_is_down_is_no_drift(synced: World) -> None:
    synced.twin.faults.add("429", times=-1, method="GET", path="members/")
    with pytest.raises(DestinationDown):
        _audit(synced, repair=True)
    assert synced.rows("select count(*) from ledger.sync_audits") == [(0,)]
    synced.twin.faults.clear()
    assert synced.sync().writes == 0
