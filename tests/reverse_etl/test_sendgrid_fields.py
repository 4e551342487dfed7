"""Fields of a SendGrid contact: what a declaration may ask for, what is created, and what is sent under which name."""

from __future__ import annotations

from typing import Any

import pytest

from reverse_etl.connect import make_destination
from reverse_etl.destination import FieldSpec, Record
from reverse_etl.errors import DestinationConfigError
from tests.reverse_etl.sendgrid_world import SENDGRID_KEY, SendGridWorld, declare
from tests.reverse_etl.test_sendgrid_sync import _settled
from tests.reverse_etl.world import Person


def _spec(key: str, kind: str = "text", is_emptied: bool = False) -> FieldSpec:
    return FieldSpec(key, key, kind, is_emptied)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (_spec("mw_text", "number"), "mw_text is of type Text there and Number here"),
        (_spec("mw_date"), "mw_date is of type Date there and Text here"),
        (_spec("MW_Text"), "MW_Text is spelt mw_text there"),
        (_spec("first_name", "number"), "first_name is of type Text there and Number here"),
        (_spec("last_clicked", "date"), "last_clicked is a name that SendGrid keeps for itself"),
        (_spec("email"), "email is a name that SendGrid keeps for itself"),
        (_spec("phone_number"), "phone_number is a name that SendGrid keeps for itself"),
        (_spec("First_Name"), "First_Name is a name that SendGrid keeps for itself"),
        (_spec("1st"), "1st is no name"),
        (_spec("mw-city"), "mw-city is no name"),
        (_spec("x" * 101), "is no name (at most 100 of A-Z, a-z, 0-9, _; no digit first)"),
        (_spec("mw_number", "number", is_emptied=True), "documents no way to empty such a field"),
        (_spec("mw_new_date", "date", is_emptied=True), "documents no way to empty such a field"),
    ],
    ids=lambda value: value.key[:20] if isinstance(value, FieldSpec) else "",
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(
    sendgrid: SendGridWorld, spec: FieldSpec, why: str
) -> None:
    for name, kind in (("mw_text", "Text"), ("mw_number", "Number"), ("mw_date", "Date")):
        sendgrid.twin.store.add_field(name, kind)
    target = sendgrid.destination()
    with pytest.raises(DestinationConfigError) as caught:
        target.missing_fields([_spec("city"), spec])
    assert why in str(caught.value)
    fitting = [_spec("city"), _spec("mw_text", "url"), _spec("mw_number", "number"), _spec("mw_new", is_emptied=True)]
    assert target.missing_fields(fitting) == (fitting[-1],)
    target.close()


def test_the_account_has_room_for_so_many(sendgrid: SendGridWorld) -> None:
    with sendgrid.twin.store:
        for n in range(499):
            sendgrid.twin.store.add_field(f"theirs_{n}", "Text")
    target = sendgrid.destination()
    assert len(target.missing_fields([_spec("one")])) == 1
    with pytest.raises(DestinationConfigError, match="499 fields are there, 2 more are needed, 500 are allowed"):
        target.missing_fields([_spec("one"), _spec("two")])
    target.close()


def test_created_with_their_types_and_sent_by_their_ids(sendgrid: SendGridWorld) -> None:
    more: list[dict[str, Any]] = [
        {"column": "last_purchase_on", "field": "mw_bought", "name": "x", "type": "date", "on_null": "keep"},
        {"column": "rec_1_price", "field": "mw_price", "name": "x", "type": "number", "on_null": "keep"},
        {"column": "rec_1_url", "field": "mw_link", "name": "x", "type": "url"},
        {"column": "churn_band", "field": "country", "name": "x"},
    ]
    declare(sendgrid.settings, more)
    row = {"city": "Köln", "last_purchase_on": "2011-12-09", "rec_1_price": "12.50", "churn_band": "low"}
    sendgrid.desire(Person("ann@shop.test", "subscribe", (), row | {"rec_1_url": "https://shop.test/p"}))
    assert sendgrid.sync().is_complete
    assert {row["name"]: row["field_type"] for row in sendgrid.twin.store.fields()} == {
        "mw_city": "Text", "mw_bought": "Date", "mw_price": "Number", "mw_link": "Text",
    }  # fmt: skip
    sent = sendgrid.twin.store.jobs()[0].payload["contacts"][0]
    assert sent == {
        "email": "ann@shop.test",
        "first_name": "there",
        "country": "low",
        "custom_fields": {"e1_T": "Köln", "e2_D": "2011-12-09", "e3_N": 12.5, "e4_T": "https://shop.test/p"},
    }
    # a date and a number without a value are left as they are, texts are emptied
    sendgrid.desire(Person("ann@shop.test", "subscribe"))
    sendgrid.sync()
    assert sendgrid.twin.store.jobs()[-1].payload["contacts"][0] == {
        "email": "ann@shop.test", "first_name": "there", "country": "", "custom_fields": {"e1_T": "", "e4_T": ""},
    }  # fmt: skip
    assert sendgrid.twin.fields_of("ann@shop.test") == {
        "first_name": "there", "mw_bought": "2011-12-09", "mw_price": 12.5,
    }  # fmt: skip
    _settled(sendgrid)


def test_what_people_typed_there_stays(sendgrid: SendGridWorld) -> None:
    declare(sendgrid.settings, [{"column": "churn_band", "field": "mw_band", "name": "x", "on_null": "fill_if_empty"}])
    sendgrid.desire(Person("ann@shop.test", "subscribe"), Person("bob@shop.test", "subscribe"))
    sendgrid.sync()
    ann = sendgrid.twin.contact("ann@shop.test")
    assert ann is not None
    band = next(row["id"] for row in sendgrid.twin.store.fields() if row["name"] == "mw_band")
    sendgrid.twin.store.put_contact(type(ann)(**{**vars(ann), "custom": {**ann.custom, band: "typed"}}))
    row = {"churn_band": "high"}
    sendgrid.desire(Person("ann@shop.test", "subscribe", (), row), Person("bob@shop.test", "subscribe", (), row))
    sendgrid.sync()
    assert sendgrid.twin.fields_of("ann@shop.test")["mw_band"] == "typed"
    assert sendgrid.twin.fields_of("bob@shop.test")["mw_band"] == "high"


def test_a_field_that_was_deleted_there_meanwhile_is_one_error(sendgrid: SendGridWorld) -> None:
    target = sendgrid.destination()
    records = [Record("k", "ann@shop.test", {"mw_city": "Köln"})]
    outcome = target.upsert("update", records)
    assert isinstance(outcome.stop, DestinationConfigError)
    assert "has no field mw_city" in str(outcome.stop)
    assert outcome.of("k").rejected_class == "retryable"
    sendgrid.twin.store.add_field("mw_city", "Text")
    assert target.upsert("update", records).of("k").kind == "accepted"
    # its id is known, and refused by the vendor: not a matter of any one record
    sendgrid.twin.store.drop_field("mw_city")
    requests = target.traffic.requests
    outcome = target.upsert("update", [*records, Record("l", "bob@shop.test", {"mw_city": "x"})])
    assert isinstance(outcome.stop, DestinationConfigError)
    assert target.traffic.requests == requests + 1
    target.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_rejected_by_itself(sendgrid: SendGridWorld, value: float) -> None:
    sendgrid.twin.store.add_field("mw_price", "Number")
    target = sendgrid.destination()
    records = [Record("k", "ann@shop.test", {"mw_price": value}), Record("l", "bob@shop.test", {"mw_price": 1.0})]
    outcome = target.upsert("update", records)
    assert (outcome.of("k").kind, outcome.of("l").kind) == ("rejected", "accepted")
    target.close()


def test_credentials_come_from_the_environment() -> None:
    with pytest.raises(DestinationConfigError, match="SENDGRID_API_KEY not set"):
        make_destination("sendgrid", {})
    target = make_destination("sendgrid", {"SENDGRID_API_KEY": SENDGRID_KEY, "SENDGRID_ACCOUNT": "eu"})
    assert (target.key, target.kind) == ("sendgrid/eu", "sendgrid")
    target.close()
