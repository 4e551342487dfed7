"""Webhooks, whatever comes: order, repetition and parts change nothing, and no bytes do harm."""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reverse_etl.errors import WebhookRefused
from reverse_etl.webhooks import ConsentEvent, EmailEvent, WebhookBatch, to_jsonl
from reverse_etl.webhooks.reading import Malformed, key_of
from tests.reverse_etl.webhook_support import (
    NOW,
    SAMPLES,
    SIGNED_HEADERS,
    VENDORS,
    Delivery,
    delivery,
    epoch,
    hubspot_change,
    klaviyo_event,
    mailchimp_form,
    sendgrid_event,
    signed,
)

examples = hypothesis_settings(max_examples=60, deadline=None, derandomize=True)

ids = st.sampled_from(["a", "b", "c/d", "e ", None])
addresses = st.sampled_from(["ann@shop.test", "ANN@shop.test", "bob@shop.test", "", None])
instants = st.integers(epoch(NOW) - 90_000, epoch(NOW) + 90_000) | st.sampled_from([None, "soon", 5])


def _mailchimp(chance: random.Random, kind: str, key: Any, email: Any, at: Any) -> Any:
    form = {**mailchimp_form(kind, id=key or "", email=email or ""), "fired_at": str(at)}
    return {**form, "data[reason]": chance.choice(["manual", "abuse", "hard", ""])}


def _klaviyo(chance: random.Random, topic: str, key: Any, email: Any, at: Any) -> Any:
    item = klaviyo_event(topic, key, chance.choice(["P1", "P2", None]), email_address=email)  # pyright: ignore
    item["payload"]["data"]["attributes"]["timestamp"] = at
    return item


def _sendgrid(chance: random.Random, event: str, key: Any, email: Any, at: Any) -> Any:
    return sendgrid_event(event, key, email=email, timestamp=at, type=chance.choice(["bounce", "blocked", None]))


def _hubspot(chance: random.Random, name: str, key: Any, _email: Any, at: Any) -> Any:
    at = at * 1000 if isinstance(at, int) else at
    more = {"eventId": key, "occurredAt": at, "attemptNumber": chance.randint(0, 3)}
    return hubspot_change(name, chance.choice(["true", "false", True, None]), **more)


KINDS: dict[str, tuple[Any, list[str]]] = {
    "mailchimp": (_mailchimp, ["unsubscribe", "cleaned", "subscribe", "upemail", "?"]),
    "klaviyo": (
        _klaviyo,
        ["opened_email", "bounced_email", "unsubscribed_from_email_marketing", "subscribed_to_email_marketing", "?"],
    ),
    "sendgrid": (_sendgrid, ["open", "bounce", "unsubscribe", "group_unsubscribe", "dropped", "?"]),
    "hubspot": (_hubspot, ["hs_email_optout", "hs_email_optout_1", "hs_email_hard_bounce_reason_enum", "city"]),
}


@st.composite
def many_items(draw: st.DrawFn, vendor: str) -> list[Any]:
    make, kinds = KINDS[vendor]
    some = st.tuples(st.sampled_from(kinds), ids, addresses, instants, st.integers(0, 9))
    return [make(random.Random(seed), *rest) for *rest, seed in draw(st.lists(some, min_size=1, max_size=8))]


def rows_of(batches: Iterable[WebhookBatch]) -> set[Any]:
    """What they bring: e-mail events, consent events, what waits for an address, and the types that became no row."""
    found: set[Any] = set()
    for batch in batches:
        found.update(batch.email_events, batch.consent_events, batch.unaddressed, batch.without_row)
    return found


@pytest.mark.parametrize("vendor", VENDORS)
@examples
@given(data=st.data())
def test_order_repetition_and_parts_change_nothing(vendor: str, data: st.DataObject) -> None:
    items = data.draw(many_items(vendor))
    each = rows_of(delivery(vendor, [item]).read() for item in items)
    again = data.draw(st.lists(st.sampled_from(items), max_size=6))
    shuffled = data.draw(st.permutations(items + again))
    most = 1 if vendor == "mailchimp" else len(shuffled)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)), max_size=4)) | {0, len(shuffled)})
    if vendor == "mailchimp":
        cuts = list(range(len(shuffled) + 1))
    parts = [shuffled[a:b] for a, b in itertools.pairwise(cuts)]
    assert all(len(part) <= most for part in parts)
    assert rows_of(delivery(vendor, part).read() for part in parts) == each


@pytest.mark.parametrize("vendor", ["klaviyo", "sendgrid", "hubspot"])
@examples
@given(data=st.data())
def test_every_item_is_accounted_for(vendor: str, data: st.DataObject) -> None:
    """A row, a row that waits for an address, counted or rejected; what is the same twice is one row."""
    items = data.draw(many_items(vendor))
    whole = delivery(vendor, items).read()
    single = [delivery(vendor, [item]).read() for item in items]
    for batch in single:
        n_rows = len(batch.email_events) + len(batch.consent_events) + len(batch.unaddressed)
        assert n_rows + sum(batch.without_row.values()) + len(batch.rejected) == 1
    assert [one.position for one in whole.rejected] == [n for n, batch in enumerate(single) if batch.rejected]
    assert sum(whole.without_row.values()) == sum(sum(batch.without_row.values()) for batch in single)


@pytest.mark.parametrize("vendor", VENDORS)
@examples
@given(data=st.data())
def test_a_delivery_at_another_instant_is_the_same_but_for_it(vendor: str, data: st.DataObject) -> None:
    """Keys do not depend on when a delivery comes: a repetition is known by them."""
    items = data.draw(many_items(vendor))[:1]
    later = datetime(2026, 6, 2)
    first, second = delivery(vendor, items).read(), delivery(vendor, items, at=later).read(later)

    def keys(batch: WebhookBatch) -> list[Any]:
        waiting = [(one.person_id, one.event.event_id) for one in batch.unaddressed]
        claims = [one.consent_event_id for one in batch.consent_events]
        return [*((one.event_id, one.event, one.email) for one in batch.email_events), *waiting, *claims]

    assert keys(first) == keys(second)


words = st.sampled_from(["open", "2026-06-01", "a@b.test"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def spoiled(chance: st.DataObject, value: Any) -> Any:
    """A payload with anything in the place of some of its parts."""
    if chance.draw(st.integers(0, 7)) == 0:
        return chance.draw(anything)
    if isinstance(value, dict):
        return {key: spoiled(chance, part) for key, part in value.items()}
    return [spoiled(chance, part) for part in value] if isinstance(value, list) else value


def assert_sound(batch: WebhookBatch) -> None:
    waiting = [one.event for one in batch.unaddressed]
    assert all(one.person_id for one in batch.unaddressed)
    assert all(not event.email for event in waiting)
    assert all(event.email for event in batch.email_events)
    for event in (*batch.email_events, *waiting):
        assert event.event in {"sent", "delivered", "open", "click", "bounce", "complaint", "unsubscribe"}
        assert event.bounce_type in ({"hard", "soft", None} if event.event == "bounce" else {None})
        assert 1 < len(event.event_id) < 400
        assert event.occurred_at.tzinfo is None
        assert 2000 <= event.occurred_at.year < 2100
        assert event.received_at == NOW
    for rows in (batch.email_events, batch.consent_events):
        lines = to_jsonl(rows).splitlines()
        assert len(lines) == len(rows)
        "".join(str(value) for line in lines for value in json.loads(line).values()).encode("utf-8")


def read_or_refuse(sent: Delivery) -> None:
    try:
        batch = sent.read()
    except WebhookRefused:
        return
    assert_sound(batch)


@pytest.mark.parametrize("vendor", VENDORS)
@examples
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_signed_bytes_lead_to_anything_but_a_result_or_a_refusal(vendor: str, body: bytes) -> None:
    read_or_refuse(signed(vendor, body))


@pytest.mark.parametrize("vendor", VENDORS)
@hypothesis_settings(examples, max_examples=150)
@given(data=st.data())
def test_nor_does_anything_in_the_place_of_a_value(vendor: str, data: st.DataObject) -> None:
    if vendor == "mailchimp":
        form = {key: data.draw(st.text()) for key in SAMPLES[vendor][0]}
        form["type"] = data.draw(st.sampled_from(["unsubscribe", "cleaned", "subscribe", "", "x"]))
        encodable = {key: value.encode("utf-8", "surrogatepass") for key, value in form.items()}
        read_or_refuse(delivery(vendor, [encodable]))
        return
    item = spoiled(data, data.draw(st.sampled_from(SAMPLES[vendor])))
    read_or_refuse(delivery(vendor, [item]))


@pytest.mark.parametrize("vendor", VENDORS)
@examples
@given(
    data=st.data(),
    body=st.binary(max_size=50),
    names=st.lists(st.text(max_size=5), max_size=3),
)
def test_nor_do_any_headers(vendor: str, data: st.DataObject, body: bytes, names: list[str]) -> None:
    headers = {name: data.draw(st.text(max_size=90)) for name in [*SIGNED_HEADERS[vendor], *names]}
    with pytest.raises(WebhookRefused):
        Delivery(vendor, headers, body).read()


@pytest.mark.parametrize("vendor", ["klaviyo", "sendgrid", "hubspot"])
def test_nor_does_an_item_that_is_nested_deeply(vendor: str) -> None:
    """However deep a Python can parse it, and whether or not it can write it again for its hash."""
    item = {
        "klaviyo": {**klaviyo_event("opened_email", ""), "extra": "HERE"},
        "sendgrid": sendgrid_event("open", "", extra="HERE"),
        "hubspot": hubspot_change("hs_email_optout", eventId="", extra="HERE"),
    }[vendor]
    body = delivery(vendor, [item]).body
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        read_or_refuse(signed(vendor, body.replace(b'"HERE"', b'{"a":' * depth + b"1" + b"}" * depth)))


def test_a_content_that_is_nested_too_deeply_has_no_hash() -> None:
    content: Any = None
    for _ in range(100_000):
        content = [content]
    with pytest.raises(Malformed, match="nested too deeply"):
        key_of("v", (None,), content)


@pytest.mark.parametrize(
    "value", ["5", "NaN", "-Infinity", "1e400", "-5", "1780313400.5", "true", "[]", '"\\ud800"', "9" * 17]
)
def test_a_number_that_is_no_instant_rejects_the_item(value: str) -> None:
    body = json.dumps([sendgrid_event("open", timestamp="HERE")]).replace('"HERE"', value)
    batch = signed("sendgrid", body.encode()).read()
    assert [one.reason for one in batch.rejected] == ["date: missing, or not one"]


def test_half_a_surrogate_pair_is_replaced_and_not_the_row_lost() -> None:
    (event,) = delivery("sendgrid", [sendgrid_event("click", url="https://a.test/\ud800")]).read().email_events
    assert event.link_url == "https://a.test/?"


def test_rows_are_lines_of_the_tables_columns() -> None:
    batch = delivery("sendgrid", SAMPLES["sendgrid"]).read()
    for line, event in zip(to_jsonl(batch.email_events).splitlines(), batch.email_events, strict=True):
        written = json.loads(line)
        assert list(written) == list(EmailEvent.__dataclass_fields__)
        assert written["occurred_at"] == event.occurred_at.isoformat() + "Z"
    assert to_jsonl(()) == ""
    assert "wording_version" in ConsentEvent.__dataclass_fields__
