"""The twin behaves as HubSpot is known to: each fact has its source in the twin's own modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.twins.hubspot import Rates
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin

C = "/crm/v3/objects/contacts"
S = "/communication-preferences/v4/statuses/batch"
EMAIL = {"channel": "EMAIL"}


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[HubSpotTwin]:
    with HubSpotTwin(tmp_path / "twin.sqlite") as served:
        yield served


@pytest.fixture
def client(twin: HubSpotTwin) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin.url, headers={"Authorization": f"Bearer {TOKEN}"}) as made:
        yield made


def _input(email: str, trace: str | None = None, **properties: str) -> dict[str, Any]:
    shown = {"id": email, "idProperty": "email", "properties": properties}
    return shown | ({"objectWriteTraceId": trace} if trace else {})


def _upsert(client: httpx.Client, *inputs: dict[str, Any]) -> httpx.Response:
    return client.post(f"{C}/batch/upsert", json={"inputs": list(inputs)})


def _word(email: str, state: str, subscription_id: int = DEFAULT_SUBSCRIPTION) -> dict[str, Any]:
    return {**EMAIL, "statusState": state, "subscriberIdString": email, "subscriptionId": subscription_id}


def test_an_upsert_creates_or_changes_and_an_empty_string_clears(client: httpx.Client, twin: HubSpotTwin) -> None:
    first = _upsert(client, _input("A@shop.test", "0", firstname="A", city="X"), _input("b@shop.test", "1"))
    assert [(row["objectWriteTraceId"], row["new"]) for row in first.json()["results"]] == [("1", True), ("0", True)]
    second = _upsert(client, _input("a@shop.test", city="")).json()["results"][0]
    assert (second["new"], second["properties"]["city"]) == (False, "")
    assert twin.fields_of("a@shop.test") == {"firstname": "A"}
    shown = client.get(C, params={"limit": 1, "properties": "city,firstname"}).json()
    assert shown["results"][0]["properties"]["city"] is None
    assert shown["paging"]["next"]["after"] == shown["results"][0]["id"]


def test_what_a_batch_does_not_take(client: httpx.Client, twin: HubSpotTwin) -> None:
    good = _input("a@shop.test", "0")
    for wrong in (
        [_input(f"p{n}@shop.test") for n in range(101)],
        [good, _input("b@shop.test", mw_unknown="x")],
        [good, _input("b@shop.invalid", "1")],
        [good, {**good, "id": "b@shop.test", "properties": {"city": 7}}],
        [good, _input("A@shop.test")],
        [good, _input("b@shop.test", createdate="2011-12-09")],
    ):
        answer = _upsert(client, *wrong)
        assert answer.status_code == 400
        assert answer.json()["category"] == "VALIDATION_ERROR"
    assert twin.store.contacts() == []
    twin.app.ends.wrong_records = "207"
    answer = _upsert(client, good, _input("b@shop.invalid", "1"))
    assert (answer.status_code, answer.json()["numErrors"]) == (207, 1)
    assert answer.json()["errors"][0]["context"] == {"objectWriteTraceId": ["1"]}
    assert [contact.email for contact in twin.store.contacts()] == ["a@shop.test"]


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("number", "12.5", True), ("number", "five", False), ("date", "2011-12-09", True),
        ("date", "1323388800000", True), ("date", "1323388800001", False), ("date", "2011-12-09T10:00:00Z", False),
        ("date", "soon", False), ("string", "x" * 65_537, False),
    ],
)  # fmt: skip
def test_values(client: httpx.Client, twin: HubSpotTwin, kind: str, value: str, fits: bool) -> None:
    twin.store.add_property({"name": "mw_x", "label": "x", "type": kind, "fieldType": kind, "groupName": "x"})
    assert (_upsert(client, _input("a@shop.test", mw_x=value)).status_code == 200) == fits


def test_a_word_belongs_to_an_address_and_v4_subscribes_again(client: httpx.Client, twin: HubSpotTwin) -> None:
    """The trap: who left one type is subscribed again by whoever asks; who left all is not."""
    twin.leave("left@shop.test")
    twin.store.opt_out("all@shop.test")
    emails = ("left@shop.test", "all@shop.test", "new@shop.test", "no address")
    answer = client.post(f"{S}/write", json={"inputs": [_word(email, "SUBSCRIBED") for email in emails]})
    assert answer.status_code == 207
    reasons = {row["subscriberIdString"]: row["setStatusSuccessReason"] for row in answer.json()["results"]}
    assert reasons == {"left@shop.test": "RESUBSCRIBE_OCCURRED", "new@shop.test": "REQUESTED_CHANGE_OCCURRED"}
    assert {e["context"]["subscriberIdString"][0] for e in answer.json()["errors"]} == {"all@shop.test", "no address"}
    assert twin.resubscribed == 1
    _upsert(client, _input("new@shop.test"), _input("all@shop.test"))
    assert (twin.status("new@shop.test"), twin.status("all@shop.test")) == ("subscribed", "unsubscribed")
    twin.store.delete_contact("all@shop.test")
    assert twin.status("all@shop.test") == "unsubscribed"


def test_opting_out_of_everything(client: httpx.Client, twin: HubSpotTwin) -> None:
    twin.put("a@shop.test")
    assert client.post(f"{S}/unsubscribe-all", json={"inputs": ["a@shop.test"]}).status_code == 400  # which channel?
    silent = client.post(f"{S}/unsubscribe-all", params=EMAIL, json={"inputs": ["a@shop.test"]})
    assert silent.json()["results"] == []
    wide = client.post(f"{S}/unsubscribe-all/read", params=EMAIL, json={"inputs": ["a@shop.test", "b@shop.test"]})
    assert [len(row["wideStatuses"]) for row in wide.json()["results"]] == [1, 0]
    said = client.post(f"{S}/read", params=EMAIL, json={"inputs": ["a@shop.test"]}).json()["results"][0]["statuses"]
    assert {status["status"] for status in said} == {"UNSUBSCRIBED"}
    assert twin.store.shown(twin.store.contacts()[0])["hs_email_optout"] == "true"


def _search(client: httpx.Client, **body: Any) -> httpx.Response:
    has = {"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}]}
    return client.post(f"{C}/search", json={"filterGroups": [has], **body})


def test_a_search_lags_and_ends_at_ten_thousand(client: httpx.Client, twin: HubSpotTwin) -> None:
    twin.store.search_lag = 3
    _upsert(client, _input("a@shop.test"))
    assert [_search(client).json()["total"] for _ in range(4)] == [0, 0, 1, 1]
    assert [contact.email for contact in twin.store.contacts()] == ["a@shop.test"]
    assert _search(client, limit=201).status_code == 400
    assert _search(client, limit=200, after="9801").status_code == 400
    assert _search(client, limit=200, after="9800").status_code == 200


def test_filters_and_order_of_a_search(client: httpx.Client, twin: HubSpotTwin) -> None:
    now = iter(range(1_790_000_000, 1_790_000_100))
    twin.store.clock = lambda: float(next(now))
    for n in range(4):
        twin.put(f"p{n}@shop.test", None)
    changed = "lastmodifieddate"
    since = {"propertyName": changed, "operator": "GTE", "value": "1790000001000"}
    body = {"filterGroups": [{"filters": [since]}], "properties": ["email"], "limit": 2}
    body |= {"sorts": [{"propertyName": changed, "direction": "DESCENDING"}]}
    answer = client.post(f"{C}/search", json=body).json()
    assert answer["total"] == 3
    assert [row["properties"]["email"] for row in answer["results"]] == ["p3@shop.test", "p2@shop.test"]
    assert answer["paging"]["next"]["after"] == "2"


def test_lists_and_properties(client: httpx.Client, twin: HubSpotTwin) -> None:
    there = str(twin.put("a@shop.test").id)
    body = {"name": "mw:vip", "objectTypeId": "0-1", "processingType": "MANUAL"}
    list_id = client.post("/crm/v3/lists", json=body).json()["list"]["listId"]
    assert client.post("/crm/v3/lists", json=body).status_code == 400
    path = f"/crm/v3/lists/{list_id}/memberships/add-and-remove"
    assert client.put(path, json={"recordIdsToAdd": [there]}).status_code == 400
    changed = client.put(path, json={"recordIdsToAdd": [there, "1"], "recordIdsToRemove": []}).json()
    assert changed == {"recordsIdsAdded": [there], "recordIdsRemoved": [], "recordIdsMissing": ["1"]}
    other = path.replace(str(list_id), "99")
    assert client.put(other, json={"recordIdsToAdd": [], "recordIdsToRemove": []}).status_code == 404
    found = client.post("/crm/v3/lists/search", json={"offset": 0, "query": "vip"}).json()
    assert (found["total"], found["hasMore"], found["offset"]) == (1, False, 1)
    given = {"name": "mw_x", "label": "X", "type": "number", "fieldType": "number", "groupName": "contactinformation"}
    for change, status in (({}, 201), ({}, 409), ({"name": "MW"}, 400), ({"groupName": "x", "name": "mw_y"}, 400)):
        made = client.post("/crm/v3/properties/contacts/batch/create", json={"inputs": [{**given, **change}]})
        assert made.status_code == status


def test_windows_and_their_headers(client: httpx.Client, twin: HubSpotTwin) -> None:
    clock = [1_790_000_000.0]
    twin.store.clock = lambda: clock[0]
    twin.app.rates = Rates(per_10_seconds=2, searches_per_second=1, per_day=6)
    first = client.get(C)
    assert first.headers["x-hubspot-ratelimit-remaining"] == "1"
    assert first.headers["x-hubspot-ratelimit-daily-remaining"] == "5"
    assert [client.get(C).status_code for _ in range(2)] == [200, 429]
    assert client.get(C).json()["policyName"] == "TEN_SECONDLY_ROLLING"
    searched = _search(client)
    assert searched.status_code == 200
    assert "x-hubspot-ratelimit-max" not in searched.headers
    assert _search(client).json()["message"] == "You have reached your secondly limit."
    clock[0] += 10
    assert [client.get(C).status_code, client.get(C).status_code] == [200, 200]
    clock[0] += 10
    assert client.get(C).status_code == 200
    assert client.get(C).json()["policyName"] == "DAILY"


def test_doors_and_faults(client: httpx.Client, twin: HubSpotTwin) -> None:
    assert httpx.get(f"{twin.url}{C}").json()["category"] == "INVALID_AUTHENTICATION"
    assert client.delete(C).status_code == 405
    assert client.get("/crm/v3/objects/companies").status_code == 404
    assert client.post(f"{C}/search", content=b"{").status_code == 400
    for kind, status in (("429", 429), ("500", 500)):
        client.post("/__twin__/faults", json=[{"kind": kind}])
        assert client.get(C).status_code == status
    before = twin.writes
    client.post(f"{C}/batch/read", json={})
    client.post(f"{S}/read", json={})
    assert twin.writes == before
    client.post(f"{S}/write", json={})
    assert client.get("/__twin__/stats").json()["writes"] == before + 1
