"""Our minimal contract of HubSpot's API is in force: a negative control per operation, and recorded traffic fits it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reverse_etl.destination import Event
from reverse_etl.destinations.hubspot_answers import (
    detail_of,
    instant,
    is_busy,
    missing_properties,
    named_records,
    quota_used_up,
)
from reverse_etl.destinations.hubspot_events import body_of
from reverse_etl.destinations.hubspot_pull import _changed_at
from reverse_etl.errors import without_secrets
from tests.reverse_etl.contract import HERE, Contract, ContractError, ContractTransport, contract_at_hand
from tests.reverse_etl.events_world import Happening, write_events
from tests.reverse_etl.hubspot_world import HubSpotWorld, declare
from tests.reverse_etl.test_hubspot_events import EVENTS
from tests.reverse_etl.world import Person

C, P, L = "/crm/v3/objects/contacts", "/crm/v3/properties/contacts", "/crm/v3/lists"
S = "/communication-preferences/v4/statuses/batch"
EMAIL = [("channel", "EMAIL")]
ONE = {"inputs": ["a@shop.test"]}
HAS = {"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}]}
WORD = {"channel": "EMAIL", "statusState": "SUBSCRIBED", "subscriberIdString": "a@shop.test", "subscriptionId": 1}
BASIS = {"legalBasis": "CONSENT_WITH_NOTICE", "legalBasisExplanation": "x"}
PROPERTY = {"name": "mw_x", "label": "X", "groupName": "g", "type": "string", "fieldType": "text"}
HAPPENED = body_of(
    Event("e1", "a@shop.test", {"segment": "vip"}, name="pe1_entered_segment", occurred_at=datetime(2026, 1, 1)), "7"
)
READ: dict[str, Any] = {"properties": [], "propertiesWithHistory": []}

# (operation, path, good query, good body, wrong query (a list) or wrong body)
CONTROLS: list[tuple[str, str, list[tuple[str, str]], Any, Any]] = [
    ("GET /crm/v3/objects/{objectType}", C, [("limit", "100")], None, [("limit", "101")]),
    (
        "POST /crm/v3/objects/{objectType}/search", f"{C}/search", [],
        {"filterGroups": [HAS], "limit": 200, "after": "9800"}, {"filterGroups": [HAS], "limit": 201},
    ),
    (
        "POST /crm/v3/objects/{objectType}/batch/read", f"{C}/batch/read", [],
        {**READ, "inputs": [{"id": "a@shop.test"}]}, {**READ, "inputs": ["a@shop.test"]},
    ),
    (
        "POST /crm/v3/objects/{objectType}/batch/upsert", f"{C}/batch/upsert", [],
        {"inputs": [{"id": "a@shop.test", "idProperty": "email", "properties": {"x": "1"}}]},
        {"inputs": [{"id": "a@shop.test", "idProperty": "email", "properties": {"x": 1}}]},
    ),
    ("GET /crm/v3/properties/contacts", P, [], None, [("archived", "no")]),
    ("GET /crm/v3/properties/contacts/groups", f"{P}/groups", [], None, [("archived", "no")]),
    ("POST /crm/v3/properties/contacts/groups", f"{P}/groups", [], {"name": "x", "label": "X"}, {"name": "x"}),
    (
        "POST /crm/v3/properties/contacts/batch/create", f"{P}/batch/create", [],
        {"inputs": [PROPERTY]}, {"inputs": [{**PROPERTY, "name": "MW_X"}]},
    ),
    (
        "POST /crm/v3/lists", L, [], {"name": "mw:x", "objectTypeId": "0-1", "processingType": "MANUAL"},
        {"name": "mw:x", "objectTypeId": "0-1", "processingType": "DYNAMIC"},
    ),
    ("POST /crm/v3/lists/search", f"{L}/search", [], {"offset": 0, "count": 500}, {"offset": 0, "count": 501}),
    (
        "PUT /crm/v3/lists/{listId}/memberships/add-and-remove", f"{L}/7/memberships/add-and-remove", [],
        {"recordIdsToAdd": ["1"], "recordIdsToRemove": []}, {"recordIdsToAdd": ["1"]},
    ),
    (
        "POST /events/v3/send", "/events/v3/send", [], HAPPENED, {**HAPPENED, "properties": {"segment": 7}},
    ),
    ("GET /communication-preferences/v4/definitions", "/communication-preferences/v4/definitions", [], None, ONE),
    ("POST /communication-preferences/v4/statuses/batch/read", f"{S}/read", EMAIL, ONE, [("channel", "SMS")]),
    (
        "POST /communication-preferences/v4/statuses/batch/unsubscribe-all/read", f"{S}/unsubscribe-all/read",
        EMAIL, ONE, {"inputs": [{"id": "a@shop.test"}]},
    ),
    (
        "POST /communication-preferences/v4/statuses/batch/unsubscribe-all", f"{S}/unsubscribe-all",
        [*EMAIL, ("verbose", "true")], ONE, {"inputs": []},
    ),
    (
        "POST /communication-preferences/v4/statuses/batch/write", f"{S}/write", [],
        {"inputs": [{**WORD, **BASIS}, {**WORD, "statusState": "UNSUBSCRIBED"}]}, {"inputs": [WORD]},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def contract() -> Contract:
    found = contract_at_hand("hubspot")
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "path", "query", "body", "wrong"), CONTROLS, ids=[c[0] for c in CONTROLS])
def test_a_wrong_request_is_refused(
    contract: Contract, name: str, path: str, query: list[tuple[str, str]], body: Any, wrong: Any
) -> None:
    method = name.split()[0]
    assert contract.check_request(method, path, query, body).name == name
    wrong_query, wrong_body = (wrong, body) if isinstance(wrong, list) else (query, wrong)
    with pytest.raises(ContractError):
        contract.check_request(method, path, wrong_query, wrong_body)


TIMES = {"status": "COMPLETE", "startedAt": "x", "completedAt": "x"}
ROW = {"id": "1", "properties": {"email": None}, "createdAt": "x", "updatedAt": "x"}
STATUS = {"channel": "EMAIL", "source": "", "status": "SUBSCRIBED", "subscriberIdString": "a", "subscriptionId": 1,
          "timestamp": "x"}  # fmt: skip
LIST = {"listId": "1", "name": "x", "objectTypeId": "0-1", "processingType": "MANUAL", "processingStatus": "COMPLETE",
        "listVersion": 1}  # fmt: skip
GROUP = {"name": "g", "label": "G", "displayOrder": 1, "archived": False}
DEFINITION = {"id": "1", "name": "x", "isActive": True}
WIDE = {"channel": "EMAIL", "status": "UNSUBSCRIBED", "subscriberIdString": "a", "timestamp": "x",
        "wideStatusType": "PORTAL_WIDE"}  # fmt: skip
CHANGED = {"recordsIdsAdded": [], "recordIdsRemoved": [], "recordIdsMissing": []}

# operation → (status, good answer, wrong answer)
ANSWERS: dict[str, tuple[int, Any, Any]] = {
    "GET /crm/v3/objects/{objectType}": (200, {"results": [ROW]}, {"results": [{**ROW, "id": 1}]}),
    "POST /crm/v3/objects/{objectType}/search": (200, {"total": 1, "results": []}, {"results": []}),
    "POST /crm/v3/objects/{objectType}/batch/read": (207, {**TIMES, "results": [ROW]}, {"results": [ROW]}),
    "POST /crm/v3/objects/{objectType}/batch/upsert": (
        200, {**TIMES, "results": [{**ROW, "new": True}]}, {**TIMES, "results": [ROW]},
    ),
    "GET /crm/v3/properties/contacts": (200, {"results": [PROPERTY]}, {"results": [{"name": "x"}]}),
    "GET /crm/v3/properties/contacts/groups": (200, {"results": [GROUP]}, {"results": [{"name": "x"}]}),
    "POST /crm/v3/properties/contacts/groups": (201, GROUP, {**GROUP, "label": 1}),
    "POST /crm/v3/properties/contacts/batch/create": (201, {**TIMES, "results": [PROPERTY]}, {**TIMES}),
    "POST /crm/v3/lists": (200, {"list": LIST}, LIST),
    "POST /crm/v3/lists/search": (
        200, {"total": 1, "offset": 1, "hasMore": False, "lists": [LIST]}, {"total": 1, "lists": [LIST]},
    ),
    "PUT /crm/v3/lists/{listId}/memberships/add-and-remove": (200, CHANGED, {**CHANGED, "recordIdsMissing": [1]}),
    "POST /events/v3/send": (204, None, {"results": []}),
    "GET /communication-preferences/v4/definitions": (200, {"results": [DEFINITION]}, {"results": [{"id": "1"}]}),
    "POST /communication-preferences/v4/statuses/batch/read": (
        200, {**TIMES, "results": [{"subscriberIdString": "a", "statuses": [STATUS]}]}, {**TIMES, "results": [STATUS]},
    ),
    "POST /communication-preferences/v4/statuses/batch/unsubscribe-all/read": (
        200, {**TIMES, "results": [{"subscriberIdString": "a", "wideStatuses": [WIDE]}]},
        {**TIMES, "results": [{"subscriberIdString": "a", "wideStatuses": [STATUS]}]},
    ),
    "POST /communication-preferences/v4/statuses/batch/unsubscribe-all": (
        200, {**TIMES, "results": []}, {**TIMES, "results": [{"statuses": []}]},
    ),
    "POST /communication-preferences/v4/statuses/batch/write": (
        200, {**TIMES, "results": [STATUS]}, {**TIMES, "results": [{**STATUS, "status": "LEFT"}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_answer_is_refused(contract: Contract, name: str) -> None:
    status, good, wrong = ANSWERS[name]
    operation = next(o for o in contract.operations if o.name == name)
    contract.check_answer(operation, status, good)
    with pytest.raises(ContractError):
        contract.check_answer(operation, status, wrong)
    with pytest.raises(ContractError):
        contract.check_answer(operation, 400, {"error": "no category"})


def test_every_operation_has_its_controls_and_its_source(contract: Contract) -> None:
    # the events of mail have theirs in `test_engagement_contract`
    own = {o.name for o in contract.operations if "{change}" not in o.path and not o.path.startswith("/email/")}
    assert own == {name for name, *_ in CONTROLS} == set(ANSWERS)
    spec = yaml.safe_load((HERE / "hubspot_contract.yml").read_text(encoding="utf-8"))
    operations = [one for methods in spec["paths"].values() for one in methods.values()]
    assert all(re.search(r"\[(sdk|vdoc|rec|unv)\]", operation["x-source"]) for operation in operations)


def test_a_whole_sync_uses_every_operation_and_keeps_to_it(hubspot: HubSpotWorld) -> None:
    declare(hubspot.settings, events=EVENTS)
    assert isinstance(hubspot.transport, ContractTransport)
    hubspot.transport.contract.seen.clear()
    write_events(hubspot.settings)
    hubspot.desire(Person("new@shop.test", "subscribe", ("vip",)), Person("gone@shop.test"))
    hubspot.sync()
    write_events(hubspot.settings, [Happening("gone@shop.test")])
    hubspot.desire(Person("new@shop.test", "unsubscribe", ("vip",)), Person("gone@shop.test"))
    hubspot.sync()
    assert hubspot.transport.contract.seen == set(ANSWERS)


@pytest.fixture(scope="session")
def recorded(shared_dir: Callable[[str], Path]) -> list[dict[str, Any]]:
    text = shared_dir("recordings/hubspot.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return [{**line, "path": line["path"].partition("?")[0]} for line in lines]


def test_recorded_traffic_fits_the_contract(recorded: list[dict[str, Any]], contract: Contract) -> None:
    """Requests and answers of the same operations, on contacts and other objects; nothing drifts but a known few."""
    checked: Counter[str] = Counter()
    drift: Counter[str] = Counter()
    for line in recorded:
        if not re.match(r"/crm/v3/objects/[^/]+/(search|batch/)", line["path"]):
            continue
        operation = contract.find(line["method"], line["path"])
        checked[f"{operation.name} {line['status']}"] += 1
        try:
            contract.check_request(line["method"], line["path"], [], line["request"])
            contract.check_answer(operation, line["status"], line["response"] or None)
        except ContractError as error:
            drift[f"{line['status']} {str(error)[:80]}"] += 1
    assert drift == {}
    assert checked == {
        "POST /crm/v3/objects/{objectType}/search 200": 36,
        "POST /crm/v3/objects/{objectType}/search 429": 36,
        "POST /crm/v3/objects/{objectType}/batch/{change} 200": 36,
        "POST /crm/v3/objects/{objectType}/batch/{change} 201": 34,
        "POST /crm/v3/objects/{objectType}/batch/{change} 204": 36,
    }


def test_recorded_properties_of_an_object_fit_too(recorded: list[dict[str, Any]], contract: Contract) -> None:
    operation = next(o for o in contract.operations if o.name == "GET /crm/v3/properties/contacts")
    schemas = [
        schema
        for line in recorded
        if line["path"].startswith("/crm/v3/schemas")
        for schema in line["response"].get("results", [line["response"]])
    ]
    assert schemas
    for schema in schemas:
        contract.check_answer(operation, 200, {"results": schema["properties"]})


def test_recorded_answers_are_understood(recorded: list[dict[str, Any]]) -> None:
    import httpx

    seen: Counter[int] = Counter()
    for line in recorded:
        response = httpx.Response(line["status"], json=line["response"], headers={
            name: value for name, value in line["headers"].items() if "ratelimit" in name.lower()
        })  # fmt: skip
        seen[line["status"]] += 1
        assert is_busy(response) == (line["status"] == 429)
        assert quota_used_up(response) is None
        if line["status"] >= 400:
            assert "@" not in without_secrets(detail_of(line["response"]))
            assert missing_properties(line["response"]) == []
    assert seen[429] == 36
    assert seen[400] == 6


def test_recorded_refusals_name_their_record(recorded: list[dict[str, Any]]) -> None:
    """By her address, or by the value that did not fit."""
    from reverse_etl.destination import Record

    for line in recorded:
        if line["status"] != 400:
            continue
        values = {p["property"]: p["value"] for p in line["request"]["properties"]}
        email = values.pop("email")
        others = [Record("a", "a@shop.test", {"closedate": "1"}), Record("b", "b@shop.test")]
        records = [others[0], Record("hers", email, values), others[1]]
        assert set(named_records(line["response"], records)) == {"hers"}


def test_recorded_contacts_are_parsed(recorded: list[dict[str, Any]]) -> None:
    rows = [
        row
        for line in recorded
        if line["path"].endswith("/CONTACT/search") and line["status"] == 200
        for row in line["response"]["results"]
    ]
    assert rows
    assert all(_changed_at(row) is not None for row in rows)
    assert instant("2022-02-17T19:23:02.341Z") == instant("2022-02-17T20:23:02.341+01:00")


def test_recorded_search_lags(recorded: list[dict[str, Any]]) -> None:
    """Somebody is counted and not shown: what the twin's `search_lag` is modelled on."""
    assert any(
        line["path"].endswith("/search") and line["status"] == 200
        and line["response"]["total"] > len(line["response"]["results"]) == 0
        for line in recorded
    )  # fmt: skip
