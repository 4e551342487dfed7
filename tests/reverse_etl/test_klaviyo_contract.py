"""Klaviyo's specification is really in force: one negative control per operation used, in requests and in answers."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import pytest

from reverse_etl.destination import Event, Record
from reverse_etl.destinations.klaviyo_events import bulk, single
from reverse_etl.destinations.klaviyo_payload import (
    global_unsubscription_job,
    import_job,
    profile,
    subscription_job,
)
from tests.reverse_etl.contract import Contract, ContractError, ContractTransport
from tests.reverse_etl.events_world import EVENTS, Happening, write_events
from tests.reverse_etl.klaviyo_world import KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person

HEADERS = {"revision": "2026-07-15", "content-type": "application/vnd.api+json"}
RECORD = Record("k", "A@shop.test", {"first_name": "A", "location.city": "Köln", "mw_score": 3, "mw_gone": ""})
IMPORT = import_job([RECORD])
ONE = {"data": profile(RECORD, with_nulls=True)}
SUBSCRIBE = subscription_job(["a@shop.test"], "KlDemo")
UNSUBSCRIBE = global_unsubscription_job(["a@shop.test"])
HAPPENED = Event(
    "e1", "a@shop.test", {"segment": "vip"}, "01A", name="Entered segment", occurred_at=datetime(2026, 1, 1)
)
EVENT, EVENT_JOB = single(HAPPENED), bulk([HAPPENED])
ENTRIES = "data.attributes.events-bulk-create.data"
IDS = {"data": [{"type": "profile", "id": "01A"}]}
LIST = {"data": {"type": "list", "attributes": {"name": "mw:vip", "opt_in_process": "double_opt_in"}}}
A_LIST = {"data": {"type": "list", "id": "KlDemo"}}


def _with(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `body` with another value at a dotted path."""
    changed = copy.deepcopy(body)
    *parents, last = path.split(".")
    node: Any = changed
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    node[last] = value
    return changed


PEOPLE = "data.attributes.profiles.data"
# (operation, path, good query, good body, wrong queries, wrong bodies)
CONTROLS: list[tuple[str, str, list[tuple[str, str]], Any, list[list[tuple[str, str]]], list[Any]]] = [
    (
        "GET /api/profiles", "/api/profiles",
        [("page[size]", "100"), ("sort", "updated"), ("additional-fields[profile]", "subscriptions")], None,
        [[("page[size]", "101")], [("sort", "consent")], [("additional-fields[profile]", "consent")]], [],
    ),
    (
        "GET /api/profile-bulk-import-jobs", "/api/profile-bulk-import-jobs",
        [("filter", 'any(status,["queued"])')], None, [[("sort", "status")], [("page[size]", "101")]], [],
    ),
    (
        "POST /api/profile-bulk-import-jobs", "/api/profile-bulk-import-jobs", [], IMPORT, [],
        [
            _with(IMPORT, "data.type", "profile-import-job"),
            _with(IMPORT, f"{PEOPLE}.0.attributes.email", 7),
            _with(IMPORT, f"{PEOPLE}.0.attributes.favourite", "x"),
            _with(IMPORT, f"{PEOPLE}.0.attributes.location.town", "x"),
            _with(IMPORT, f"{PEOPLE}.0.attributes.subscriptions", {}),
            _with(IMPORT, PEOPLE, []),
            _with(IMPORT, "data.relationships", {"lists": {"data": [A_LIST["data"]]}}),
        ],
    ),
    ("GET /api/profile-bulk-import-jobs/{job_id}", "/api/profile-bulk-import-jobs/J1", [], None,
     [[("include", "profiles")]], [IMPORT]),
    ("GET /api/profile-bulk-import-jobs/{id}/profiles", "/api/profile-bulk-import-jobs/J1/profiles",
     [("fields[profile]", "email")], None, [[("fields[profile]", "consent")]], []),
    ("GET /api/profile-bulk-import-jobs/{id}/import-errors", "/api/profile-bulk-import-jobs/J1/import-errors",
     [("page[size]", "100")], None, [[("page[size]", "0")], [("sort", "code")]], []),
    (
        "POST /api/profile-import", "/api/profile-import", [], ONE, [],
        [_with(ONE, "data.type", "person"), _with(ONE, "data.attributes.first_name", 7),
         {"data": {"type": "profile", "attributes": {"first_name": "nobody"}}}],
    ),
    (
        "POST /api/profile-subscription-bulk-create-jobs", "/api/profile-subscription-bulk-create-jobs", [],
        SUBSCRIBE, [],
        [
            _with(SUBSCRIBE, f"{PEOPLE}.0.attributes.subscriptions.email.marketing.consent", "UNSUBSCRIBED"),
            _with(SUBSCRIBE, "data.attributes.historical_import", True),
            {"data": {k: v for k, v in SUBSCRIBE["data"].items() if k != "relationships"}},
        ],
    ),
    (
        "POST /api/profile-subscription-bulk-delete-jobs", "/api/profile-subscription-bulk-delete-jobs", [],
        UNSUBSCRIBE, [],
        [
            _with(UNSUBSCRIBE, f"{PEOPLE}.0.attributes.subscriptions.email.marketing.consent", "SUBSCRIBED"),
            _with(UNSUBSCRIBE, "data.relationships", {"list": A_LIST}),
        ],
    ),
    (
        "POST /api/events", "/api/events", [], EVENT, [],
        [
            _with(EVENT, "data.type", "event-job"),
            _with(EVENT, "data.attributes.profile.data", {"type": "profile", "attributes": {"email": "a@shop.test"}}),
            _with(EVENT, "data.attributes.unique_id", 7),
            _with(EVENT, "data.attributes.metric.data.attributes", {}),
        ],
    ),
    (
        "POST /api/event-bulk-create-jobs", "/api/event-bulk-create-jobs", [], EVENT_JOB, [],
        [
            _with(EVENT_JOB, "data.type", "event-job"),
            _with(EVENT_JOB, ENTRIES, []),
            _with(EVENT_JOB, f"{ENTRIES}.0.attributes.profile.data.id", 7),
            _with(EVENT_JOB, f"{ENTRIES}.0.attributes.events.data.0.attributes.when", "now"),
            _with(EVENT_JOB, f"{ENTRIES}.0.attributes.events.data.0.attributes", {"properties": {}}),
        ],
    ),
    ("GET /api/lists", "/api/lists", [("page[size]", "10")], None, [[("page[size]", "11")]], []),
    ("POST /api/lists", "/api/lists", [], LIST, [],
     [_with(LIST, "data.attributes.opt_in_process", "no_opt_in"), {"data": {"type": "list", "attributes": {}}}]),
    ("GET /api/lists/{id}", "/api/lists/KlDemo", [("fields[list]", "name,opt_in_process")], None,
     [[("fields[list]", "owner")]], []),
    ("POST /api/lists/{id}/relationships/profiles", "/api/lists/L1/relationships/profiles", [], IDS, [],
     [{"data": [{"type": "profile", "email": "a@shop.test"}]}, {"data": []}]),
    ("DELETE /api/lists/{id}/relationships/profiles", "/api/lists/L1/relationships/profiles", [], IDS, [],
     [{"data": [{"type": "person", "id": "01A"}]}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path", "query", "body", "wrong_queries", "wrong_bodies"), CONTROLS, ids=[c[0] for c in CONTROLS]
)
def test_a_wrong_request_is_refused(
    klaviyo_contract: Contract,
    name: str,
    path: str,
    query: list[tuple[str, str]],
    body: Any,
    wrong_queries: list[Any],
    wrong_bodies: list[Any],
) -> None:
    method = name.split()[0]
    check = klaviyo_contract.check_request
    assert check(method, path, query, body, HEADERS).name == name
    assert wrong_queries or wrong_bodies
    for wrong in wrong_queries:
        with pytest.raises(ContractError):
            check(method, path, wrong, body, HEADERS)
    for wrong in wrong_bodies:
        with pytest.raises(ContractError):
            check(method, path, query, wrong, HEADERS)
    with pytest.raises(ContractError, match="revision"):
        check(method, path, query, body, {"content-type": HEADERS["content-type"]})
    if body is not None:
        with pytest.raises(ContractError, match="takes application/vnd"):
            check(method, path, query, body, HEADERS | {"content-type": "application/json"})


@pytest.mark.parametrize(
    ("path", "most", "body"),
    [
        ("/api/profile-bulk-import-jobs", 10_000, IMPORT),
        ("/api/profile-subscription-bulk-create-jobs", 1000, SUBSCRIBE),
        ("/api/profile-subscription-bulk-delete-jobs", 100, UNSUBSCRIBE),
    ],
)
def test_prose_limits_are_in_force(klaviyo_contract: Contract, path: str, most: int, body: dict[str, Any]) -> None:
    row = body["data"]["attributes"]["profiles"]["data"][0]
    klaviyo_contract.check_request("POST", path, [], _with(body, PEOPLE, [row] * most), HEADERS)
    with pytest.raises(ContractError):
        klaviyo_contract.check_request("POST", path, [], _with(body, PEOPLE, [row] * (most + 1)), HEADERS)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_limit_of_a_list_is_in_force(klaviyo_contract: Contract, method: str) -> None:
    path = "/api/lists/L1/relationships/profiles"
    klaviyo_contract.check_request(method, path, [], {"data": IDS["data"] * 1000}, HEADERS)
    with pytest.raises(ContractError):
        klaviyo_contract.check_request(method, path, [], {"data": IDS["data"] * 1001}, HEADERS)


def _profile_answer(marketing: dict[str, Any]) -> dict[str, Any]:
    attributes = {"email": "a@shop.test", "subscriptions": {"email": {"marketing": marketing}}}
    row = {"type": "profile", "id": "1", "attributes": attributes, "links": {"self": "https://x.test/1"}}
    return {"data": [row], "links": {"self": "https://x.test"}}


def _suppressed(reason: str) -> dict[str, Any]:
    suppression = [{"reason": reason, "timestamp": "2026-01-01T00:00:00+00:00"}]
    return {"can_receive_email_marketing": False, "consent": "SUBSCRIBED", "suppression": suppression}


JOB = {
    "type": "profile-bulk-import-job", "id": "J1", "links": {"self": "https://x.test/J1"},
    "attributes": {"status": "complete", "created_at": "2026-01-01T00:00:00+00:00", "total_count": 1},
}  # fmt: skip
ERROR = {
    "type": "import-error", "id": "E1",
    "attributes": {"code": "invalid", "title": "x", "detail": "y", "source": {"pointer": "/data"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "good", "wrong"),
    [
        ("GET /api/profiles", 200, _profile_answer(_suppressed("UNSUBSCRIBE")), _profile_answer(_suppressed("BORED"))),
        ("POST /api/profile-bulk-import-jobs", 202, {"data": JOB}, {"data": {**JOB, "id": 7}}),
        ("POST /api/profile-bulk-import-jobs", 400,
         {"errors": [{"id": "1", "code": "invalid", "title": "x", "detail": "y"}]}, {"errors": [{"code": "invalid"}]}),
        ("GET /api/profile-bulk-import-jobs/{job_id}", 200, {"data": JOB},
         {"data": {**JOB, "attributes": {**JOB["attributes"], "status": "done"}}}),
        ("GET /api/profile-bulk-import-jobs/{id}/import-errors", 200, {"data": [ERROR]}, {"data": [{"id": "E1"}]}),
        ("POST /api/profile-subscription-bulk-create-jobs", 202, None, {"data": {}}),
        ("POST /api/profile-subscription-bulk-delete-jobs", 202, None, {"data": {}}),
        ("POST /api/events", 202, None, {"data": {}}),
        ("POST /api/event-bulk-create-jobs", 202, None, {"data": {}}),
        ("POST /api/lists/{id}/relationships/profiles", 204, None, {"data": []}),
        ("DELETE /api/lists/{id}/relationships/profiles", 204, None, {"data": []}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_answer_is_refused(klaviyo_contract: Contract, name: str, status: int, good: Any, wrong: Any) -> None:
    operation = next(o for o in klaviyo_contract.operations if o.name == name)
    klaviyo_contract.check_answer(operation, status, good)
    with pytest.raises(ContractError):
        klaviyo_contract.check_answer(operation, status, wrong)


def test_a_whole_sync_keeps_to_the_specification(klaviyo_world: KlaviyoWorld, klaviyo_contract: Contract) -> None:
    """And uses the operations that have a control, all of them."""
    world = klaviyo_world
    klaviyo_contract.seen.clear()
    people = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "Köln"}) for n in range(3)]
    klaviyo_declaration(world.settings, events=EVENTS)
    write_events(world.settings)
    world.desire(*people)
    world.sync()
    write_events(world.settings, [Happening("p2@shop.test")])
    world.twin.faults.add("close_after", method="POST", path="event-bulk")  # and so it is sent again, by itself
    world.desire(
        Person("p2@shop.test", "subscribe", ("vip",), {"city": "Köln"}),
        Person("p0@shop.test", "unsubscribe", ("vip",)), Person("p1@shop.test", "subscribe", (), {"city": None}),
        Person("new@shop.test", "subscribe", (), {"city": "A"}),
        Person("new@shop.invalid", "subscribe", (), {"city": "A"}),  # and so the import is asked for its errors
    )  # fmt: skip
    world.sync()
    people_of_the_job = {"GET /api/profile-bulk-import-jobs/{id}/profiles"}  # a run that takes over asks for them
    assert klaviyo_contract.seen == {name for name, *_ in CONTROLS} - people_of_the_job
    assert isinstance(world.transport, ContractTransport)
    assert not any("historical_import" in str(body) for _, _, body, _ in world.transport.log if body)


def test_the_vendors_own_models_agree() -> None:
    """`klaviyo-api`, the vendor's package: its models accept our bodies, and refuse wrong ones."""
    models = pytest.importorskip("openapi_client.models", reason="skipped: klaviyo-api is not installed")
    for name, good, wrong in (
        ("ProfileImportJobCreateQuery", IMPORT, _with(IMPORT, "data.type", "profile")),
        ("ProfileUpsertQuery", ONE, _with(ONE, "data.type", "person")),
        ("SubscriptionCreateJobCreateQuery", SUBSCRIBE, _with(SUBSCRIBE, "data.attributes", {})),
        ("SubscriptionDeleteJobCreateQuery", UNSUBSCRIBE, _with(UNSUBSCRIBE, f"{PEOPLE}.0.attributes", {})),
        ("ListCreateQuery", LIST, _with(LIST, "data.attributes.opt_in_process", "no_opt_in")),
        ("ListMembersAddQuery", IDS, {"data": [{"type": "profile"}]}),
    ):
        model = getattr(models, name)
        model.model_validate(good)
        with pytest.raises(ValueError):
            model.model_validate(wrong)
