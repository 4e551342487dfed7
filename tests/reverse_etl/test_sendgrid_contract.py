"""SendGrid's specifications are really in force: one negative control per operation, and recorded traffic is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from reverse_etl.destinations.sendgrid_answers import (
    JobEnd,
    contact_hash,
    detail_of,
    instant,
    is_about_the_sync,
    named_records,
    read_errors,
)
from reverse_etl.destinations.sendgrid_pull import _flat, _member
from reverse_etl.errors import without_secrets
from reverse_etl.http import pause_asked
from tests.reverse_etl.contract import Contract, ContractError, ContractTransport
from tests.reverse_etl.sendgrid_world import FILES, SendGridWorld
from tests.reverse_etl.test_sendgrid_sync import with_full_pull
from tests.reverse_etl.world import Person

M = "/v3/marketing"
LIST = "d3749cad-9066-43ba-bd8b-f6b3eb8289ed"
ANN = {"email": "ann@shop.test", "first_name": "Ann", "custom_fields": {"e2_T": "", "e3_N": 1.5}}

# (operation, path, good query, good body, wrong query or wrong body)
CONTROLS: list[tuple[str, str, list[tuple[str, str]], Any, Any]] = [
    ("GET /v3/marketing/contacts/count", f"{M}/contacts/count", [], None, [("list_id", LIST)]),
    (
        "PUT /v3/marketing/contacts",
        f"{M}/contacts",
        [],
        {"contacts": [ANN], "list_ids": [LIST]},
        {"contacts": [ANN | {"custom_fields": {"e2_T": None}}], "list_ids": [LIST]},
    ),
    ("GET /v3/marketing/contacts/imports/{id}", f"{M}/contacts/imports/{LIST}", [], None, [("wait", "true")]),
    (
        "POST /v3/marketing/contacts/search/identifiers/{identifier_type}",
        f"{M}/contacts/search/identifiers/email",
        [],
        {"identifiers": ["ann@shop.test"]},
        {"emails": ["ann@shop.test"]},
    ),
    ("POST /v3/marketing/contacts/exports", f"{M}/contacts/exports", [], {"file_type": "csv"}, {"file_type": "xls"}),
    ("GET /v3/marketing/contacts/exports/{id}", f"{M}/contacts/exports/{LIST}", [], None, {"id": LIST}),
    ("GET /v3/marketing/lists", f"{M}/lists", [("page_size", "1000")], None, [("page_size", "1001")]),
    ("POST /v3/marketing/lists", f"{M}/lists", [], {"name": "mw:vip"}, {"name": ""}),
    (
        "DELETE /v3/marketing/lists/{id}/contacts",
        f"{M}/lists/{LIST}/contacts",
        [("contact_ids", f"{LIST},{LIST}")],
        None,
        [("emails", "ann@shop.test")],
    ),
    ("GET /v3/marketing/field_definitions", f"{M}/field_definitions", [], None, [("page_size", "1")]),
    (
        "POST /v3/marketing/field_definitions",
        f"{M}/field_definitions",
        [],
        {"name": "mw_city", "field_type": "Text"},
        {"name": "mw_city", "field_type": "text"},
    ),
    (
        "POST /v3/asm/suppressions/global",
        "/v3/asm/suppressions/global",
        [],
        {"recipient_emails": ["ann@shop.test"]},
        {"emails": ["ann@shop.test"]},
    ),
    *(
        (f"GET /v3/suppression/{kind}", f"/v3/suppression/{kind}", [("start_time", "1"), ("limit", "500")], None,
         [("limit", "501")])
        for kind in ("unsubscribes", "spam_reports", "bounces", "invalid_emails")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "query", "body", "wrong"), CONTROLS, ids=[c[0] for c in CONTROLS])
def test_a_wrong_request_is_refused(
    sendgrid_contract: Contract, name: str, path: str, query: list[tuple[str, str]], body: Any, wrong: Any
) -> None:
    method = name.split()[0]
    headers = {"accept": "application/json", "content-type": "application/json"}
    assert sendgrid_contract.check_request(method, path, query, body, headers).name == name
    wrong_query, wrong_body = (wrong, body) if isinstance(wrong, list) else (query, wrong)
    with pytest.raises(ContractError):
        sendgrid_contract.check_request(method, path, wrong_query, wrong_body, headers)


@pytest.mark.parametrize(
    ("contact", "list_ids"),
    [
        ({"email": "Ann@shop.test"}, []),
        ({"first_name": "Ann"}, []),
        ({"email": "ann@shop.test", "first_name": "x" * 51}, []),
        ({"email": "ann@shop.test", "mw_city": "Köln"}, []),
        ({"email": "ann@shop.test", "custom_fields": {}}, []),
        ({"email": "ann@shop.test", "phone_number": "1"}, []),
        ({"email": "ann@shop.test"}, ["vip"]),
    ],
    ids=["capitals", "nobody", "long", "by name", "no fields", "no longer specified", "no list id"],
)
def test_a_wrong_contact_is_refused(sendgrid_contract: Contract, contact: Any, list_ids: Any) -> None:
    path = f"{M}/contacts"
    sendgrid_contract.check_request("PUT", path, [], {"contacts": [ANN], "list_ids": []})
    with pytest.raises(ContractError):
        sendgrid_contract.check_request("PUT", path, [], {"contacts": [contact], "list_ids": list_ids})


def test_limits_are_in_force(sendgrid_contract: Contract) -> None:
    contacts = [{"email": f"p{n}@shop.test"} for n in range(30_001)]
    emails = [contact["email"] for contact in contacts[:1001]]
    for method, path, name, most, values in (
        ("PUT", f"{M}/contacts", "contacts", 30_000, contacts),
        ("POST", f"{M}/contacts/search/identifiers/email", "identifiers", 100, emails),
        ("POST", "/v3/asm/suppressions/global", "recipient_emails", 1000, emails),
    ):
        sendgrid_contract.check_request(method, path, [], {name: values[:most]})
        for wrong in (values[: most + 1], []):
            with pytest.raises(ContractError):
                sendgrid_contract.check_request(method, path, [], {name: wrong})
    with pytest.raises(ContractError, match="needs the headers accept"):
        sendgrid_contract.check_request("GET", "/v3/suppression/bounces", [], None, {})
    for method, path in (("POST", f"{M}/contacts"), ("GET", "/marketing/contacts"), ("DELETE", f"{M}/lists")):
        with pytest.raises(ContractError):
            sendgrid_contract.check_request(method, path, [], None)


@pytest.mark.parametrize(
    ("name", "status", "good", "wrong"),
    [
        ("PUT /v3/marketing/contacts", 202, {"job_id": "x"}, {"job": "x"}),
        ("PUT /v3/marketing/contacts", 400, {"errors": [{"message": "x"}]}, {"errors": [{"field": "x"}]}),
        ("GET /v3/marketing/contacts/count", 200, {"contact_count": 1}, {"billable_count": 1}),
        (
            "GET /v3/marketing/contacts/imports/{id}", 200,
            {"status": "errored", "results": {"errored_count": 1}},
            {"status": "errored", "results": {"failed_count": 1}},
        ),
        (
            "GET /v3/marketing/contacts/exports/{id}", 200,
            {"id": "x", "status": "ready", "created_at": "", "updated_at": "", "expires_at": "", "urls": ["x"]},
            {"id": "x", "status": "done", "created_at": "", "updated_at": "", "expires_at": "", "urls": ["x"]},
        ),
        ("POST /v3/marketing/contacts/exports", 202, {"id": "x", "_metadata": {}}, {"id": "x"}),
        (
            "POST /v3/marketing/contacts/search/identifiers/{identifier_type}", 200,
            {"result": {"a@b.co": {"error": "x"}}}, {"result": {"a@b.co": {"problem": "x"}}},
        ),
        ("GET /v3/marketing/lists", 200, {"result": [{"id": LIST}]}, {"result": [{"id": "7"}]}),
        ("POST /v3/marketing/lists", 201, {"id": LIST, "contact_count": 0}, {"id": LIST, "contact_count": "0"}),
        ("DELETE /v3/marketing/lists/{id}/contacts", 202, {"job_id": "x"}, {"job_id": {"id": "x"}}),
        (
            "GET /v3/marketing/field_definitions", 200,
            {"custom_fields": [], "reserved_fields": [{"name": "city", "field_type": "Text"}]},
            {"custom_fields": []},
        ),
        (
            "POST /v3/marketing/field_definitions", 200,
            {"id": "e1_T", "name": "a", "field_type": "Text"}, {"id": "e1_T", "name": "a", "field_type": "text"},
        ),
        ("POST /v3/asm/suppressions/global", 201, {"recipient_emails": []}, {"emails": []}),
        *(
            (f"GET /v3/suppression/{kind}", 200, [{"created": 1, "email": "a@b.co"} | more],
             [{"created": "1", "email": "a@b.co"} | more])
            for kind, more in {"unsubscribes": {}, "spam_reports": {"ip": "x"}, "bounces": {"reason": "x"},
                               "invalid_emails": {"reason": "x"}}.items()
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_answer_is_refused(sendgrid_contract: Contract, name: str, status: int, good: Any, wrong: Any) -> None:
    operation = next(o for o in sendgrid_contract.operations if o.name == name)
    sendgrid_contract.check_answer(operation, status, good)
    with pytest.raises(ContractError):
        sendgrid_contract.check_answer(operation, status, wrong)


def test_a_whole_sync_keeps_to_the_specifications(sendgrid: SendGridWorld, sendgrid_contract: Contract) -> None:
    """And the operations that it uses are those that have a control."""
    sendgrid_contract.seen.clear()
    sendgrid.desire(Person("new@shop.test", "subscribe", ("vip",), {"city": "Köln"}), Person("gone@shop.test"))
    sendgrid.sync()
    with_full_pull(sendgrid)
    sendgrid.desire(Person("new@shop.test", "subscribe", (), {"city": "Köln"}))
    sendgrid.sync()
    sendgrid.desire(Person("new@shop.test", "unsubscribe"))
    sendgrid.sync()
    sendgrid.twin.store.suppress("spam_reports", "gone@shop.test")
    sendgrid.sync()
    assert sendgrid_contract.seen == {name for name, *_ in CONTROLS}
    assert isinstance(sendgrid.transport, ContractTransport)
    assert {request.method for request in sendgrid.transport.downloads} == {"GET"}
    assert not any(method == "DELETE" and "suppression" in path for method, path, *_ in sendgrid.transport.log)


def test_what_is_outside_the_contract_is_listed(sendgrid_contract: Contract) -> None:
    """Nothing but links to files: another path, and another host, is held to the specifications."""
    inner = httpx.MockTransport(lambda _: httpx.Response(200))
    transport = ContractTransport(sendgrid_contract, lambda: inner, outside=[FILES])
    transport.handle_request(httpx.Request("GET", "http://127.0.0.1:8000/__files__/abc"))
    for url in ("http://127.0.0.1:8000/v3/__files__/abc", "http://127.0.0.1:8000/__twin__/stats"):
        with pytest.raises(ContractError):
            transport.handle_request(httpx.Request("GET", url))


@pytest.fixture(scope="session")
def recorded(shared_dir: Callable[[str], Path]) -> list[dict[str, Any]]:
    text = shared_dir("recordings/sendgrid.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_recorded_answers_are_understood(recorded: list[dict[str, Any]]) -> None:
    refused = 0
    for line in recorded:
        path = line["path"].partition("?")[0]
        body = line["response"]
        if line["status"] == 202:
            assert isinstance(body["job_id"], str)
            assert body["job_id"]
        elif line["status"] == 400:
            refused += 1
            assert named_records(body) == {0: "contacts[0].email: email '000' is not valid"}
            assert not is_about_the_sync(body)
            assert "contacts[0].email" in detail_of(body)
        elif path.endswith("/contacts/search"):
            for contact in body["result"]:
                member = _member(_flat(contact), None, {"first_name": ("first_name",)})
                assert member.subscriber_hash == contact_hash(contact["email"])
                assert (member.remote_id, member.fields) == (contact["id"], {"first_name": contact["first_name"]})
                assert member.last_changed_at == instant(contact["updated_at"]) is not None
        elif path.endswith("/field_definitions"):
            assert {row["field_type"] for row in body["custom_fields"]} <= {"Text", "Number", "Date"}
        elif path.endswith("/marketing/lists") and line["method"] == "GET":
            assert all(isinstance(row["id"], str) for row in body["result"])
    assert (len(recorded), refused) == (64, 1)


def test_recorded_resets_are_seconds(recorded: list[dict[str, Any]]) -> None:
    for line in recorded:
        headers = {name.lower(): value for name, value in line["headers"].items()}
        asked = pause_asked(httpx.Response(429, headers=headers), 0.0)
        assert asked is not None
        assert 0 <= asked <= 60


def test_recorded_traffic_against_the_specifications(
    recorded: list[dict[str, Any]], sendgrid_contract: Contract
) -> None:
    """The live server of 2021 took and showed more than the specifications of today have: known, and pinned."""
    requests, answers = set(), set()
    for line in recorded:
        operation = sendgrid_contract.find(line["method"], line["path"].partition("?")[0])
        if operation.body is not None:
            requests |= {
                (operation.name, str(error.validator)) for error in operation.body.iter_errors(line["request"])
            }
        try:
            sendgrid_contract.check_answer(operation, line["status"], line["response"] or None)
        except ContractError as error:
            answers.add((operation.name, str(error).partition(": ")[2].partition(":")[0]))
    assert requests == {
        ("PUT /v3/marketing/contacts", "additionalProperties"),  # phone_number
        ("PUT /v3/marketing/contacts", "minProperties"),  # custom_fields without any: our own rule
    }
    assert answers == {
        ("GET /v3/marketing/field_definitions", "custom_fields/0"),  # _metadata
        ("POST /v3/marketing/contacts/search", "result/0/segment_ids"),  # null
        ("DELETE /v3/marketing/contacts", "job_id"),  # a string; not used here
        ("DELETE /v3/marketing/lists/{id}", "body"),  # none; not used here
    }


@pytest.mark.parametrize(
    ("rows", "wrong", "unknown"),
    [
        ([{"email": "Ann@Shop.test", "error": "bad city"}], {"ann": "bad city"}, 0),
        ([{"": "ann@shop.test"}], {"ann": "<address>"}, 0),
        ([{"Identifier": "ann@shop.test", "Reason": "x", "Line": 7}], {"ann": "x"}, 0),
        ([{"message": "contact bob@shop.test is bad"}], {"bob": "contact <address> is bad"}, 0),
        ([{"email": "ann@shop.test", "error": "1"}, {"email": "ann@shop.test", "error": "2"}], {"ann": "1; 2"}, 0),
        ([{"email": "eve@shop.test", "error": "x"}, {"row": "12", "error": "x"}], {}, 2),
        ([], {}, 0),
    ],
)
def test_files_of_errors_in_any_words(rows: list[Any], wrong: dict[str, str], unknown: int) -> None:
    ours = {contact_hash(f"{name}@shop.test"): name for name in ("ann", "bob")}
    found, n_unknown = read_errors(rows, ours, without_secrets)
    assert {ours[key]: why for key, why in found.items()} == wrong
    assert n_unknown == unknown


@pytest.mark.parametrize(
    ("status", "results", "n_named", "n_unknown", "is_clear"),
    [
        ("completed", {"requested_count": 3}, 0, 0, True),
        ("completed", {"errored_count": 1}, 0, 0, False),
        ("errored", {"requested_count": 3, "errored_count": 2}, 2, 0, True),
        ("errored", {"requested_count": 3, "errored_count": 2}, 1, 0, False),
        ("errored", {"requested_count": 3, "errored_count": 2}, 2, 1, False),
        ("errored", {}, 2, 0, False),
        ("failed", {"requested_count": 3, "errored_count": 3}, 3, 0, True),
        ("failed", {"requested_count": 3, "errored_count": 2}, 2, 0, False),
        ("failed", {}, 0, 0, False),
    ],
)
def test_whether_the_others_came_through(
    status: str, results: dict[str, int], n_named: int, n_unknown: int, is_clear: bool
) -> None:
    end = JobEnd()
    end.add(status, results, {str(n): "x" for n in range(n_named)}, n_unknown)
    assert end.is_clear is is_clear
