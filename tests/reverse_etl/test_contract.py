"""The vendor's specification is really in force: one negative control per operation, and recorded traffic is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.destination import Record
from reverse_etl.destinations.mailchimp_answers import Action, detail_of, meaning, outcome_of_error
from reverse_etl.errors import RejectedClass, without_secrets
from tests.reverse_etl.contract import Contract, ContractError, ContractTransport
from tests.reverse_etl.world import Person, World, hash_of

L = "/3.0/lists/abc"
MEMBER = f"{L}/members/{hash_of('a@shop.test')}"

# (operation, path, good query, good body, wrong query or wrong body)
CONTROLS: list[tuple[str, str, list[tuple[str, str]], Any, Any]] = [
    ("GET /lists/{list_id}", L, [("fields", "id")], None, [("field", "id")]),
    ("GET /lists/{list_id}/merge-fields", f"{L}/merge-fields", [("count", "1000")], None, [("count", "1001")]),
    (
        "POST /lists/{list_id}/merge-fields",
        f"{L}/merge-fields",
        [],
        {"tag": "MW_CITY", "name": "City", "type": "text"},
        {"tag": "MW_TOO_LONG", "name": "City", "type": "text"},
    ),
    ("GET /lists/{list_id}/members", f"{L}/members", [("status", "archived")], None, [("status", "asleep")]),
    (
        "POST /lists/{list_id}",
        L,
        [("skip_merge_validation", "true")],
        {"members": [{"email_address": "a@shop.test", "merge_fields": {"FNAME": "A"}}], "update_existing": True},
        {"members": [{"email_address": "a@shop.test", "status_if_new": "subscribed"}], "update_existing": True},
    ),
    ("GET /lists/{list_id}/segments", f"{L}/segments", [("type", "static")], None, [("kind", "static")]),
    (
        "POST /lists/{list_id}/segments",
        f"{L}/segments",
        [],
        {"name": "mw:vip", "static_segment": []},
        {"static_segment": []},
    ),
    (
        "POST /lists/{list_id}/segments/{segment_id}",
        f"{L}/segments/7",
        [],
        {"members_to_add": ["a@shop.test"]},
        {"members_to_add": [{"email_address": "a@shop.test"}]},
    ),
    ("GET /lists/{list_id}/members/{subscriber_hash}", MEMBER, [], None, [("expand", "tags")]),
    (
        "PUT /lists/{list_id}/members/{subscriber_hash}",
        MEMBER,
        [],
        {"email_address": "a@shop.test", "status_if_new": "subscribed"},
        {"email_address": "a@shop.test", "status_if_new": "mailable"},
    ),
    (
        "PATCH /lists/{list_id}/members/{subscriber_hash}",
        MEMBER,
        [],
        {"status": "unsubscribed"},
        {"status": "transactional"},
    ),
    ("DELETE /lists/{list_id}/members/{subscriber_hash}", MEMBER, [], None, {"why": "because"}),
    (
        "POST /lists/{list_id}/members/{subscriber_hash}/tags",
        f"{MEMBER}/tags",
        [],
        {"tags": [{"name": "x", "status": "active"}]},
        {"tags": [{"name": "x"}]},
    ),
    ("GET /lists/{list_id}/segments/{segment_id}", f"{L}/segments/7", [], None, [("count", "1")]),
    ("GET /lists/{list_id}/segments/{segment_id}/members", f"{L}/segments/7/members", [], None, [("count", "x")]),
    (
        "POST /lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent",
        f"{MEMBER}/actions/delete-permanent",
        [],
        None,
        {"sure": True},
    ),
    ("GET /lists/{list_id}/members/{subscriber_hash}/tags", f"{MEMBER}/tags", [], None, [("count", "5000")]),
    (
        "POST /lists/{list_id}/members/{subscriber_hash}/events",
        f"{MEMBER}/events",
        [],
        {"name": "entered_segment", "occurred_at": "2026-01-01T00:00:00+00:00", "properties": {"segment": "vip"}},
        {"name": "entered_segment", "properties": {"segment": 7}},
    ),
    ("GET /lists/{list_id}/members/{subscriber_hash}/events", f"{MEMBER}/events", [], None, [("sort", "name")]),
    ("DELETE /lists/{list_id}/segments/{segment_id}", f"{L}/segments/7", [], None, {"force": True}),
    ("DELETE /lists/{list_id}/merge-fields/{merge_id}", f"{L}/merge-fields/3", [], None, {"force": True}),
]


@pytest.mark.parametrize(("name", "path", "query", "body", "wrong"), CONTROLS, ids=[c[0] for c in CONTROLS])
def test_a_wrong_request_is_refused(
    contract: Contract, name: str, path: str, query: list[tuple[str, str]], body: Any, wrong: Any
) -> None:
    method = name.split()[0]
    assert contract.check_request(method, path, query, body).name == name
    wrong_query, wrong_body = (wrong, body) if isinstance(wrong, list) else (query, wrong)
    with pytest.raises(ContractError):
        contract.check_request(method, path, wrong_query, wrong_body)


def _errors_of(contract: Contract, name: str, status: int, body: Any) -> bool:
    operation = next(o for o in contract.operations if o.name == name)
    try:
        contract.check_answer(operation, status, body)
    except ContractError:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "status", "good", "wrong"),
    [
        (
            "POST /lists/{list_id}", 200,
            {"new_members": [], "updated_members": [], "errors": [], "total_created": 0},
            {"new_members": [], "updated_members": [], "errors": [{"error_code": "ERROR_WHATEVER"}]},
        ),
        ("GET /lists/{list_id}", 200, {"id": "x"}, {"id": 7}),
        ("GET /lists/{list_id}/merge-fields", 200, {"merge_fields": [{"tag": "A"}]}, {"merge_fields": [{"tag": 1}]}),
        ("POST /lists/{list_id}/merge-fields", 200, {"type": "text"}, {"type": "string"}),
        ("GET /lists/{list_id}/members", 200, {"members": [{"id": "x"}]}, {"members": [{"hash": "x"}]}),
        ("GET /lists/{list_id}/segments", 200, {"segments": [{"id": 1}]}, {"segments": [{"id": "1"}]}),
        ("POST /lists/{list_id}/segments", 200, {"type": "static"}, {"type": "tag"}),
        ("POST /lists/{list_id}/segments/{segment_id}", 200, {"total_added": 1}, {"total_added": "1"}),
        ("DELETE /lists/{list_id}/members/{subscriber_hash}", 204, None, {"ok": True}),
        ("POST /lists/{list_id}/members/{subscriber_hash}/events", 204, None, {"ok": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_answer_is_refused(contract: Contract, name: str, status: int, good: Any, wrong: Any) -> None:
    assert not _errors_of(contract, name, status, good)
    assert _errors_of(contract, name, status, wrong)


def test_prose_limits_are_in_force(contract: Contract) -> None:
    members = [{"email_address": f"p{n}@shop.test"} for n in range(501)]
    contract.check_request("POST", L, [], {"members": members[:500]})
    for wrong in ({"members": members}, {"members": members[:1], "sync_tags": True}, {"members": [{"vip": True}]}):
        with pytest.raises(ContractError):
            contract.check_request("POST", L, [], wrong)
    for name in ("members_to_add", "members_to_remove"):
        emails = [m["email_address"] for m in members]
        contract.check_request("POST", f"{L}/segments/1", [], {name: emails[:500]})
        with pytest.raises(ContractError):
            contract.check_request("POST", f"{L}/segments/1", [], {name: emails})


def test_the_length_of_an_events_name_is_in_force(contract: Contract) -> None:
    contract.check_request("POST", f"{MEMBER}/events", [], {"name": "n" * 30})
    for wrong in ({"name": "n"}, {"name": "n" * 31}, {"properties": {}}, {"name": "nn", "is_syncing": True}):
        with pytest.raises(ContractError):
            contract.check_request("POST", f"{MEMBER}/events", [], wrong)


def test_unknown_paths_and_methods_are_refused(contract: Contract) -> None:
    for method, path in (("POST", "/3.0/list/abc"), ("PUT", L), ("GET", "/lists/abc")):
        with pytest.raises(ContractError):
            contract.check_request(method, path, [], None)


def test_a_whole_sync_keeps_to_the_specification(world: World, contract: Contract) -> None:
    """And the operations that it uses are those that have a control."""
    contract.seen.clear()
    world.desire(
        Person("new@shop.test", "subscribe", ("vip",), {"city": "Köln"}), Person("gone@shop.test", "subscribe")
    )
    world.sync()
    world.desire(Person("new@shop.test", "unsubscribe", ("vip",)))
    world.sync()
    assert contract.seen <= {name for name, *_ in CONTROLS}
    assert len(contract.seen) == 8
    assert isinstance(world.transport, ContractTransport)
    sent = [body for _, _, body, _ in world.transport.log if body]
    assert not any("sync_tags" in body for body in sent)
    assert not any("tags" in member for body in sent for member in body.get("members", []))


@pytest.fixture(scope="session")
def recorded(shared_dir: Callable[[str], Path]) -> list[dict[str, Any]]:
    text = shared_dir("recordings/mailchimp.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# status and title of recorded answers → what we make of them
EXPECTED = {
    (200, ""): Action.DONE,
    (204, ""): Action.DONE,
    (400, "Invalid Resource"): Action.REJECTED,
    (400, "Member Exists"): Action.REJECTED,
    (404, "Resource Not Found"): Action.ABSENT,
    (405, "Method Not Allowed"): Action.REJECTED,
}


def test_recorded_answers_are_understood(recorded: list[dict[str, Any]]) -> None:
    seen = set()
    for line in recorded:
        body = line["response"] or None
        title = body.get("title", "") if isinstance(body, dict) and line["status"] >= 400 else ""
        seen.add((line["status"], title))
        assert meaning(line["status"], body).action is EXPECTED[line["status"], title], line["path"]
        if line["status"] >= 400:
            explained = without_secrets(detail_of(body))
            assert title in explained
            assert "@" not in explained
    assert seen == set(EXPECTED)


def test_recorded_requests_against_the_specification(recorded: list[dict[str, Any]], contract: Contract) -> None:
    """The live server is laxer and richer than the specification: the drift is known, and pinned."""
    drift: dict[str, int] = {}
    checked = 0
    for line in recorded:
        if not re.match(r"/3\.0/lists/[^/]+/", line["path"]):
            continue
        path = line["path"].partition("?")[0]
        operation = contract.find(line["method"], path)
        checked += 1
        if operation.body is not None and list(operation.body.iter_errors(line["request"])):
            drift[operation.name] = drift.get(operation.name, 0) + 1
    assert checked == 102
    assert set(drift) <= {
        "PUT /lists/{list_id}/members/{subscriber_hash}",
        "POST /lists/{list_id}/members",
    }


def test_recorded_members_are_parsed_as_remote_members(recorded: list[dict[str, Any]]) -> None:
    from reverse_etl.destinations.mailchimp import _instant

    members = [
        row
        for line in recorded
        if line["method"] == "GET" and line["status"] == 200 and line["path"].endswith("/members")
        for row in line["response"]["members"]
    ]
    assert members
    for row in members:
        assert re.fullmatch(r"[0-9a-f]{32}", row["id"])
        assert row["status"] in {"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"}
        assert _instant(row["last_changed"]) is not None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error_code": "ERROR_CONTACT_EXISTS", "error": "a@b.co is already a list member"}, RejectedClass.RETRYABLE),
        ({"error_code": "ERROR_GENERIC", "error": "a@b.co is in a compliance state due to…"}, RejectedClass.CONSENT),
        ({"error_code": "ERROR_GENERIC", "error": "a@b.co was permanently deleted and…"}, RejectedClass.CONSENT),
        ({"error_code": "ERROR_GENERIC", "error": "Please provide a valid email address."}, RejectedClass.DATA),
        ({"error": "Your merge fields were invalid.", "field": "LTV", "field_message": "no"}, RejectedClass.DATA),
        ({}, RejectedClass.DATA),
    ],
)
def test_errors_inside_a_batch(error: dict[str, str], expected: RejectedClass) -> None:
    outcome = outcome_of_error(error, without_secrets)
    assert outcome.rejected_class is expected
    assert "@" not in outcome.message


def test_a_refused_batch_is_halved_until_the_culprit_is_alone(world: World) -> None:
    """A batch that is refused as a whole (here: the same address twice) costs no other record its delivery."""
    target = world.destination()
    records = [Record(f"k{n}", f"p{n}@shop.test") for n in range(7)] + [Record("k7", "P3@shop.test")]
    outcome = target.upsert("create", records)
    target.close()
    assert {outcome.of(r.key).kind for r in records if r.key not in {"k3", "k7"}} == {"confirmed"}
    assert sorted([outcome.of("k3").kind, outcome.of("k7").kind]) == ["confirmed", "rejected"]
