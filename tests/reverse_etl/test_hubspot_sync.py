"""plan → sync against HubSpot's twin: contacts, subscriptions, lists; what arrives, and what must not."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest

from reverse_etl import sending
from reverse_etl.destinations.hubspot_consent import Consent
from tests.reverse_etl.contract import ContractTransport
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.hubspot_world import HubSpotWorld, declare
from tests.reverse_etl.world import Person

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(4)]


def _settled(world: HubSpotWorld) -> None:
    """A further run writes nothing, nobody was raised, and the ledger's state is the fold of its attempts."""
    report = world.sync()
    assert report.is_complete
    assert report.writes == 0
    assert world.twin.resubscribed == 0
    check_folds(world.rows)


def test_a_standard_property_is_not_emptied_when_a_row_is_gone(hubspot: HubSpotWorld) -> None:
    declare(hubspot.settings, [{"column": "rfm_cell", "field": "lastname", "name": "Last name"}], segments=None)
    hubspot.desire(Person("p@shop.test", "subscribe", (), {"city": "A", "rfm_cell": "Ours"}), Person("q@shop.test"))
    hubspot.sync()
    hubspot.desire(Person("q@shop.test"))
    assert hubspot.sync().cleared == 1
    assert hubspot.twin.fields_of("p@shop.test") == {"firstname": "there", "lastname": "Ours"}


def test_types_and_values(hubspot: HubSpotWorld) -> None:
    """Every value is sent as a string; a date is a day, which is midnight in UTC there."""
    more = [
        {"column": "rec_1_price", "field": "mw_price", "name": "Price", "type": "number"},
        {"column": "last_purchase_on", "field": "mw_last", "name": "Last purchase", "type": "date"},
        {"column": "rec_1_url", "field": "mw_url", "name": "Link", "type": "url"},
    ]
    declare(hubspot.settings, more)
    values = {"rec_1_price": Decimal("12.50"), "last_purchase_on": date(2011, 12, 9), "rec_1_url": "https://a.test/x"}
    hubspot.desire(Person("p@shop.test", "subscribe", (), values))
    assert hubspot.sync().created == 1
    shown = {"mw_price": "12.5", "mw_last": "2011-12-09", "mw_url": "https://a.test/x", "firstname": "there"}
    assert hubspot.twin.fields_of("p@shop.test") == shown
    kinds = {name: (row["type"], row["fieldType"]) for name, row in hubspot.twin.store.properties().items()}
    assert (kinds["mw_price"], kinds["mw_last"]) == (("number", "number"), ("date", "date"))
    assert kinds["mw_url"] == kinds["mw_city"] == ("string", "text")
    assert hubspot.twin.store.properties()["mw_city"]["groupName"] == "mailwright"
    _settled(hubspot)


def test_whoever_withdrew_is_unsubscribed_from_everything(hubspot: HubSpotWorld) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.sync()
    hubspot.twin.put("other@shop.test")
    hubspot.desire(Person("p0@shop.test", "unsubscribe", ("vip",)), *PEOPLE[1:], refusals=["other@shop.test"])
    report = hubspot.sync()
    assert report.lowered == 2
    assert [hubspot.twin.status(e) for e in ("p0@shop.test", "other@shop.test")] == ["unsubscribed"] * 2
    assert hubspot.twin.store.opted_out_at("p0@shop.test")
    assert hubspot.twin.inside("mw:vip") == {p.email for p in PEOPLE[1:]}
    hubspot.rows("delete from ledger.remote_pulls returning 1")
    _settled(hubspot)
    assert hubspot.rows("select count(*) from ledger.remote_suppressions") == [(0,)]  # our own doing is no evidence


def test_her_own_word_there_is_kept_and_never_undone(hubspot: HubSpotWorld) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.sync()
    hubspot.twin.leave("p0@shop.test")
    said_at = hubspot.twin.store.status("p0@shop.test")[1]
    hubspot.desire(*(Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE))
    report = hubspot.sync()
    assert (report.updated, report.blocked) == (3, {"unsubscribed_in_destination": 1})
    assert hubspot.twin.fields_of("p0@shop.test")["mw_city"] == "A"
    kept = hubspot.rows("select email, kind, suppressed_at from ledger.remote_suppressions")
    assert kept == [("p0@shop.test", "unsubscribe", datetime.fromisoformat(str(said_at)).replace(tzinfo=None))]
    # later changes of her contact by others are no new word of hers
    found = hubspot.twin.contact("p0@shop.test")
    assert found is not None
    found.properties["phone"] = "1"
    hubspot.twin.store.put_contact(found)
    _settled(hubspot)
    assert hubspot.rows("select count(*) from ledger.remote_suppressions") == [(1,)]


@pytest.mark.parametrize("how", ["400", "207"])
def test_one_wrong_record_costs_nobody_else(hubspot: HubSpotWorld, how: Literal["400", "207"]) -> None:
    twin = hubspot.twin
    twin.app.ends.wrong_records = how
    endless = Person("long@shop.test", "subscribe", (), {"city": "x" * 65_537})
    hubspot.desire(*PEOPLE, Person("bad@shop.invalid", "subscribe", ("vip",)), endless)
    report = hubspot.sync()
    assert (report.created, report.rejected) == (4, {"data": 2})
    assert twin.contact("bad@shop.invalid") is None
    again = hubspot.sync()
    assert (again.writes, again.held) == (0, {"data": 2})
    messages = [row[0] for row in hubspot.rows("select message from ledger.sync_attempts where outcome = 'rejected'")]
    assert any("is invalid" in message for message in messages)
    assert not any("@" in message for message in messages)
    check_folds(hubspot.rows)


# subscriptions: first, then the contact


def test_a_create_that_breaks_off_after_the_subscription_is_done_again(hubspot: HubSpotWorld) -> None:
    """Her address said yes and no contact is there: nobody can mail it, and the next run creates her."""
    hubspot.desire(*PEOPLE)
    hubspot.twin.faults.add("500", times=-1, path="batch/upsert")
    report = hubspot.sync()
    assert (report.created, report.in_doubt) == (0, 4)
    assert [hubspot.twin.store.status(p.email)[0] for p in PEOPLE] == ["SUBSCRIBED"] * 4
    assert hubspot.twin.store.contacts() == []
    hubspot.twin.faults.clear()
    assert hubspot.sync().created == 4
    assert {hubspot.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    _settled(hubspot)


def test_without_a_subscription_nobody_is_created(hubspot: HubSpotWorld) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.twin.faults.add("500", times=-1, path="batch/write")
    report = hubspot.sync()
    assert (report.created, report.in_doubt) == (0, 4)
    assert hubspot.twin.store.contacts() == []
    hubspot.twin.faults.clear()
    hubspot.sync()
    assert {hubspot.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    _settled(hubspot)


@pytest.mark.parametrize("everything", ["", "shown with each type", "shown apart"])
def test_who_leaves_between_pull_and_push_is_not_raised(
    hubspot: HubSpotWorld, monkeypatch: pytest.MonkeyPatch, everything: str
) -> None:
    hubspot.desire(*PEOPLE)
    hubspot.twin.store.shows_wide_opt_out = everything != "shown apart"
    original = sending._send

    def late(destination: Any, batch: Any) -> Any:
        if batch.operation == "create":
            (hubspot.twin.store.opt_out if everything else hubspot.twin.leave)("p0@shop.test")
        return original(destination, batch)

    monkeypatch.setattr(sending, "_send", late)
    report = hubspot.sync()
    assert (report.created, report.rejected) == (3, {"consent": 1})
    assert hubspot.twin.contact("p0@shop.test") is None
    assert hubspot.twin.status("p0@shop.test") == "unsubscribed"
    assert hubspot.twin.resubscribed == 0


def test_who_leaves_between_our_look_and_our_write_is_put_back(
    hubspot: HubSpotWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor subscribes her again, and says so: that is undone at once, and no contact is made."""
    hubspot.desire(*PEOPLE)
    original = Consent._against

    def late(self: Consent, emails: list[str]) -> dict[str, str]:
        found = original(self, emails)
        hubspot.twin.leave("p0@shop.test")
        return found

    monkeypatch.setattr(Consent, "_against", late)
    report = hubspot.sync()
    assert (report.created, report.rejected) == (3, {"consent": 1})
    assert hubspot.twin.resubscribed == 1
    assert hubspot.twin.status("p0@shop.test") == "unsubscribed"
    assert hubspot.twin.contact("p0@shop.test") is None


def test_who_comes_between_pull_and_push_keeps_what_is_hers(
    hubspot: HubSpotWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form made her a contact meanwhile: a create leaves her alone, the next pass updates her, nobody raises her."""
    hubspot.desire(*PEOPLE)
    original = sending._send

    def late(destination: Any, batch: Any) -> Any:
        if batch.operation == "create" and hubspot.twin.contact("p0@shop.test") is None:
            hubspot.twin.put("p0@shop.test", None, firstname="Anna")
        return original(destination, batch)

    monkeypatch.setattr(sending, "_send", late)
    report = hubspot.sync()
    assert (report.created, report.updated, report.passes) == (3, 1, 2)
    assert hubspot.twin.fields_of("p0@shop.test") == {"firstname": "Anna", "mw_city": "A"}
    assert hubspot.twin.status("p0@shop.test") == "transactional"
    _settled(hubspot)


def test_no_status_is_ever_written_for_somebody_who_is_there(hubspot: HubSpotWorld) -> None:
    hubspot.twin.put("there@shop.test", None)
    hubspot.twin.put("left@shop.test", "UNSUBSCRIBED")
    hubspot.desire(Person("there@shop.test", "subscribe", ("vip",)), Person("left@shop.test", "subscribe", ("vip",)))
    hubspot.sync()
    assert isinstance(hubspot.transport, ContractTransport)
    assert not any(path.endswith("batch/write") for _, path, _, _ in hubspot.transport.log)
    _settled(hubspot)
