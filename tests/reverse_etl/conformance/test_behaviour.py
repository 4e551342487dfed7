"""What every destination does: create, change, clear, memberships, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from reverse_etl.audit import audit
from reverse_etl.errors import DestinationConfigError, LeaseHeld
from tests.reverse_etl.conformance.port import CITY, FIRST_NAME, PRICE, Port
from tests.reverse_etl.world import Person

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(4)]
VIP = {person.email for person in PEOPLE}


def _all(**columns: object) -> list[Person]:
    return [replace(person, columns=columns) for person in PEOPLE]


def test_first_run(port: Port) -> None:
    """Who may be mailed is created; who is there is updated and keeps what is not ours; nobody else is touched."""
    port.put("old@shop.test", last_name="Family", first_name="Old")
    port.desire(
        Person("New@Shop.test", "subscribe", ("vip", "cart"), {"first_name": "Zoë", "city": "Köln"}),
        Person("old@shop.test", "update_only", ("vip",), {"city": "Oslo"}),
        Person("stranger@shop.test", "update_only", ("vip",)),
        Person("nobody@shop.test", "unsubscribe"),
    )
    planned = port.plan()
    assert (planned.created, planned.updated, planned.entering) == (1, 1, 3)
    assert (planned.fields_to_create != ()) is port.can().fields_must_exist
    assert port.writes == 0
    report = port.sync()
    assert (report.created, report.updated, report.entering, report.lowered) == (1, 1, 3, 0)
    assert report.blocked == planned.blocked == {"no_opt_in_evidence": 1, "consent_withdrawn": 1}
    new, old = port.held("new@shop.test"), port.held("old@shop.test")
    assert new is not None
    assert old is not None
    assert (new.status, new.fields) == ("subscribed", {"first_name": "Zoë", "city": "Köln"})
    assert (old.status, old.fields) == ("subscribed", {"first_name": "Old", "last_name": "Family", "city": "Oslo"})
    assert [port.held(f"{name}@shop.test") for name in ("stranger", "nobody")] == [None, None]
    assert port.inside("mw:vip") == {"new@shop.test", "old@shop.test"}
    assert port.inside("mw:cart") == {"new@shop.test"}
    again = port.sync()
    assert (again.writes, again.unchanged, again.memberships_unchanged) == (0, 2, 3)
    assert port.plan().is_empty
    port.settled()


def test_only_who_changed_is_sent(port: Port) -> None:
    """What somebody typed over the others' fields meanwhile would show that they were sent, too."""
    port.desire(*PEOPLE)
    port.sync()
    for person in PEOPLE[1:]:
        port.edit(person.email, city="typed")
    port.desire(replace(PEOPLE[0], columns={"city": "B"}), *PEOPLE[1:])
    report = port.sync()
    assert (report.updated, report.unchanged) == (1, 3)
    assert [port.city(person.email) for person in PEOPLE] == ["B", "typed", "typed", "typed"]
    port.settled()


def test_a_value_that_is_gone_empties_its_field(port: Port) -> None:
    port.desire(*_all(city="A", first_name="N"))
    port.sync()
    port.edit("p0@shop.test", last_name="Family")
    port.desire(*_all(first_name="N"))
    assert port.sync().updated == 4
    found = port.held("p0@shop.test")
    assert found is not None
    assert found.fields == {"first_name": "N", "last_name": "Family"}
    port.settled()


def test_a_number_that_is_gone_empties_its_field_where_that_is_possible(port: Port) -> None:
    """Elsewhere a sync that would have to is refused before anything is sent."""
    if not port.can().empties_numbers:
        port.declare({**PRICE, "on_null": "overwrite"})
        port.desire(*_all(rec_1_price=Decimal("1.50")))
        with pytest.raises(DestinationConfigError, match="no way to empty"):
            port.sync()
        assert port.writes == 0
        return
    port.declare({**PRICE, "on_null": "overwrite"})
    port.desire(*_all(rec_1_price=Decimal("1.50")))
    port.sync()
    found = port.held("p0@shop.test")
    assert found is not None
    assert float(found.fields["rec_1_price"]) == 1.5
    port.desire(*_all())
    assert port.sync().updated == 4
    found = port.held("p0@shop.test")
    assert found is not None
    assert "rec_1_price" not in found.fields
    port.settled()


@pytest.mark.parametrize(("policy", "becomes"), [("keep", "theirs"), ("fill_if_empty", "theirs"), ("clear", None)])
def test_policies_of_a_field_without_a_value(port: Port, policy: str, becomes: str | None) -> None:
    port.put("p0@shop.test", city="theirs")
    port.declare(FIRST_NAME, {**CITY, "on_null": policy})
    port.desire(Person("p0@shop.test", "update_only", (), {"first_name": "N"}))
    assert port.sync().updated == 1
    assert port.city("p0@shop.test") == becomes
    port.settled()


def test_filled_only_if_empty(port: Port) -> None:
    """What people typed there stays; who has nothing gets our value."""
    port.put("has@shop.test", city="theirs")
    port.put("has_not@shop.test")
    port.declare(FIRST_NAME, {**CITY, "on_null": "fill_if_empty"})
    port.desire(*(Person(f"{name}@shop.test", "update_only", (), {"city": "ours"}) for name in ("has", "has_not")))
    assert port.sync().updated == 2
    assert [port.city("has@shop.test"), port.city("has_not@shop.test")] == ["theirs", "ours"]
    port.settled()


def test_segments_in_and_out(port: Port) -> None:
    """Ours alone are touched, and in them those alone whom we put there."""
    port.put("theirs@shop.test")
    port.put_inside("mw:vip", "theirs@shop.test")
    port.desire(*PEOPLE)
    assert port.sync().entering == 4
    port.put_inside("newsletter", "theirs@shop.test", "p0@shop.test")
    port.desire(*(replace(p, segments=("cart",) if n < 2 else ("vip",)) for n, p in enumerate(PEOPLE)))
    report = port.sync()
    assert (report.entering, report.leaving, report.updated) == (2, 2, 0)
    assert port.inside("mw:vip") == {"theirs@shop.test", "p2@shop.test", "p3@shop.test"}
    assert port.inside("mw:cart") == {"p0@shop.test", "p1@shop.test"}
    assert port.inside("newsletter") == {"theirs@shop.test", "p0@shop.test"}
    assert {port.status(email) for email in VIP} == {"subscribed"}
    port.settled()


def test_who_is_gone_from_the_model_is_forgotten_and_stays(port: Port) -> None:
    """Our fields are emptied, our memberships end; she is there as before, and may come back."""
    port.desire(*_all(city="A", first_name="N"))
    port.sync()
    port.put_inside("newsletter", "p0@shop.test")
    port.desire(*_all(city="A", first_name="N")[1:])
    report = port.sync()
    assert (report.cleared, report.leaving) == (1, 1)
    found = port.held("p0@shop.test")
    assert found is not None
    assert found.status == "subscribed"
    assert found.fields == {"first_name": "N"}  # kept: forms fill it too
    assert port.inside("mw:vip") == VIP - {"p0@shop.test"}
    assert port.inside("newsletter") == {"p0@shop.test"}
    port.settled()
    port.desire(*_all(city="A", first_name="N"))
    assert port.sync().updated == 1
    assert port.city("p0@shop.test") == "A"
    assert port.inside("mw:vip") == VIP
    port.settled()


def test_the_vendors_own_fields_of_who_is_gone(port: Port) -> None:
    """Emptied like ours, or left to forms and sales: as the vendor's page of our docs says."""
    port.declare({"column": "rfm_cell", "field": port.fields["last_name"], "name": "Last name"})
    port.desire(*_all(rfm_cell="Ours"))
    port.sync()
    port.desire(*_all(rfm_cell="Ours")[1:])
    port.sync()
    found = port.held("p0@shop.test")
    assert found is not None
    assert found.fields == ({} if port.can().empties_its_own else {"last_name": "Ours"})
    port.settled()


def test_who_was_deleted_there_is_not_created_again(port: Port) -> None:
    port.desire(*PEOPLE)
    port.sync()
    port.delete("p0@shop.test")
    port.look_at_everybody()
    report = port.sync()
    assert (report.blocked, report.writes) == ({"deleted_in_destination": 1}, 0)
    assert port.held("p0@shop.test") is None


def test_a_value_that_is_too_long_costs_nobody_else(port: Port) -> None:
    """Where the vendor has a limit: the record is rejected with its class and the reason, the others are confirmed."""
    for column, most in port.can().longest.items():
        port.desire(*PEOPLE, Person("long@shop.test", "subscribe", (), {column: "x" * (most + 1)}))
        report = port.sync()
        assert (report.created, report.rejected, port.held("long@shop.test")) == (4, {"data": 1}, None)
        messages = port.rows("select message from ledger.sync_state where state = 'rejected'")
        assert all(any(word in str(row[0]).lower() for word in ("long", "characters", "bytes")) for row in messages)
        port.desire(*PEOPLE, Person("long@shop.test", "subscribe", (), {column: "x" * most}))
        assert port.sync().created == 1
    if not port.can().longest:
        port.desire(*PEOPLE, Person("long@shop.test", "subscribe", (), {"city": "x" * 5_000}))
        assert port.sync().created == 5
    port.settled()


def test_one_refused_record_costs_nobody_else(port: Port) -> None:
    """It is in the ledger with its class and the vendor's words, without her address, and held until it changes."""
    bad = Person("bad@shop.invalid", "subscribe", ("vip",), {"city": "A"})
    broken = Person("no address", "subscribe", (), {"city": "A"})
    port.desire(*PEOPLE, bad, broken)
    report = port.sync()
    wrong = {"bad@shop.invalid", "no address"} - {one for one in ("bad@shop.invalid",) if port.held(one)}
    assert (report.created, report.rejected) == (6 - len(wrong), {"data": len(wrong)})
    assert {email for email in VIP if port.status(email) == "subscribed"} == VIP
    messages = port.rows(
        "select rejected_class, message from ledger.sync_attempts where outcome = 'rejected' and object = 'member'"
    )
    assert {row[0] for row in messages} == {"data"}
    assert all(row[1] and "@" not in row[1] and "no address" not in row[1] for row in messages)
    again = port.sync()
    assert (again.writes, again.held) == (0, {"data": len(wrong)})
    port.desire(*PEOPLE, bad, replace(broken, columns={"city": "B"}))
    assert port.sync().rejected == {"data": 1}  # its content changed: tried once more
    port.check_ledger()


def test_two_runs_at_once_are_impossible(port: Port) -> None:
    port.desire(*PEOPLE)
    seen: list[str] = []

    def meddle(what: str, *_: int) -> None:
        if not seen and what == "send":
            seen.append(what)
            with pytest.raises(LeaseHeld, match="under way"):
                port.sync()

    report = port.sync(on_progress=meddle)
    assert seen
    assert report.created == 4
    port.settled()


def test_what_somebody_changed_there_is_found_and_repaired(port: Port) -> None:
    port.desire(*PEOPLE)
    port.sync()
    port.edit("p0@shop.test", city="typed")
    port.delete("p1@shop.test")
    target = port.destination()
    found = audit(port.settings, "small", destination=target, sample=None, repair=True)
    target.close()
    assert (found.n_checked, found.n_drifted) == (4, 2)
    assert found.drifts[f"field {port.fields['city']}"] == 1
    assert found.drifts["missing"] == 1
    assert found.has_segments is port.can().shows_segments
    port.look_at_everybody()
    report = port.sync()
    assert (report.updated, report.blocked) == (1, {"deleted_in_destination": 1})
    assert port.city("p0@shop.test") == "A"
    port.settled()
