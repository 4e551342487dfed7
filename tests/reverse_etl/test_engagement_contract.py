"""The specifications are in force where engagement is pulled: a negative control for each operation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reverse_etl.contract import Contract, ContractError, ContractTransport
from tests.reverse_etl.engagement_world import TOLD, VENDORS, Engaged
from tests.reverse_etl.engagement_world import engaged as engaged_world
from warehouse.connection import connect
from warehouse.settings import Settings

Query = list[tuple[str, str]]
R, S = "/3.0/reports", "/v3/suppression"
SINCE = "2026-06-01T00:00:00+00:00"
PERSON = {"campaign_id": "m1", "email_id": "0cc1", "email_address": "a@shop.test"}
PAGED: Query = [("count", "1000"), ("offset", "0")]
EVENT = {
    "type": "event", "id": "E1", "links": {"self": "https://x.test/E1"},
    "attributes": {"timestamp": 1, "datetime": SINCE, "event_properties": {}, "uuid": "u"},
}  # fmt: skip
METRIC = {"type": "metric", "id": "M1", "attributes": {"name": "Opened Email"}, "links": {"self": "https://x.test/M1"}}
LINKS = {"self": "https://x.test"}
OPEN = {"id": "e", "created": 1, "type": "OPEN", "recipient": "a@shop.test", "portalId": 1, "appId": 1}

# vendor → (operation, path, good query, wrong query, good answer, path of a value in it, what it must not be)
CONTROLS: dict[str, list[tuple[str, str, Query, Query, Any, str, Any]]] = {
    "mailchimp": [
        ("GET /reports", R, [("since_send_time", SINCE), *PAGED], [("since", SINCE)],
         {"reports": [{"id": "m1", "list_id": "l", "send_time": SINCE}], "total_items": 1}, "reports.0.send_time", 7),
        ("GET /reports/{campaign_id}/email-activity", f"{R}/m1/email-activity", [("since", SINCE), *PAGED],
         [("count", "1001")],
         {"emails": [{**PERSON, "activity": [{"action": "open", "timestamp": SINCE}]}], "total_items": 1},
         "emails.0.activity.0.action", 7),
        ("GET /reports/{campaign_id}/sent-to", f"{R}/m1/sent-to", PAGED, [("since", SINCE)],
         {"sent_to": [{**PERSON, "status": "sent"}], "total_items": 1}, "sent_to.0.status", "opened"),
        ("GET /reports/{campaign_id}/unsubscribed", f"{R}/m1/unsubscribed", PAGED, [("since", SINCE)],
         {"unsubscribes": [{**PERSON, "timestamp": SINCE}], "total_items": 1}, "unsubscribes.0.timestamp", 7),
        ("GET /lists/{list_id}/abuse-reports", "/3.0/lists/l/abuse-reports", PAGED, [("since", SINCE)],
         {"abuse_reports": [{**PERSON, "id": 1, "date": SINCE}], "total_items": 1}, "abuse_reports.0.id", "one"),
    ],
    "klaviyo": [
        ("GET /api/metrics", "/api/metrics", [("filter", 'equals(integration.name,"Klaviyo")')],
         [("page[size]", "100")], {"data": [METRIC], "links": LINKS}, "data.0.type", "event"),
        ("GET /api/events", "/api/events", [("page[size]", "1000"), ("sort", "datetime"), ("include", "profile")],
         [("page[size]", "1001")], {"data": [EVENT], "links": LINKS}, "data.0.attributes.timestamp", SINCE),
    ],
    "sendgrid": [
        *((f"GET /v3/suppression/{name}", f"{S}/{name}", [("start_time", "1"), ("limit", "500")], [("limit", "501")],
           [{"created": 1, "email": "a@shop.test", **more}], "0.created", "yesterday")
          for name, more in {"bounces": {"reason": "x", "status": "5.1.1"}, "blocks": {"reason": "x", "status": "4.0"},
                             "spam_reports": {"ip": "192.0.2.1"}, "unsubscribes": {}}.items()),
        ("GET /v3/asm/suppressions", "/v3/asm/suppressions", [], [("start_time", "1")],
         [{"email": "a@shop.test", "group_id": 1, "group_name": "x", "created_at": 1}], "0.created_at", "yesterday"),
    ],
    "hubspot": [
        ("GET /email/public/v1/events", "/email/public/v1/events",
         [("eventType", "OPEN"), ("limit", "1000"), ("startTimestamp", "1780272000000")],
         [("startTimestamp", "1780272000")], {"hasMore": False, "offset": "x", "events": [OPEN]}, "events.0.created",
         SINCE),
    ],
}  # fmt: skip
EACH = [pytest.param(kind, *control, id=control[0]) for kind in VENDORS for control in CONTROLS[kind]]


@pytest.fixture
def contract_of(engagement_transport: Callable[[str], httpx.BaseTransport]) -> Callable[[str], Contract]:
    def of(kind: str) -> Contract:
        transport = engagement_transport(kind)
        if not isinstance(transport, ContractTransport):
            pytest.skip(f"skipped: the specification of {kind} is not at hand")
        return transport.contract

    return of


def _with(answer: Any, path: str, value: Any) -> Any:
    changed = copy.deepcopy(answer)
    *parents, last = path.split(".")
    node = changed
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    node[last] = value
    return changed


@pytest.mark.parametrize(("kind", "name", "path", "query", "wrong_query", "answer", "where", "wrong"), EACH)
def test_what_is_wrong_is_refused(
    contract_of: Callable[[str], Contract],
    kind: str, name: str, path: str, query: Query, wrong_query: Query, answer: Any, where: str, wrong: Any,
) -> None:  # fmt: skip
    contract, headers = contract_of(kind), {"revision": "2026-07-15", "accept": "application/json"}
    operation = contract.check_request("GET", path, query, None, headers)
    assert operation.name == name
    with pytest.raises(ContractError):
        contract.check_request("GET", path, wrong_query, None, headers)
    contract.check_answer(operation, 200, answer)
    with pytest.raises(ContractError):
        contract.check_answer(operation, 200, _with(answer, where, wrong))


@pytest.fixture(params=VENDORS)
def held(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, contract_of: Callable[[str], Contract]
) -> Iterator[tuple[Engaged, Contract]]:
    contract = contract_of(request.param)
    contract.seen.clear()
    with (
        engaged_world(request.param, settings, tmp_path / "twin.sqlite", ContractTransport(contract)) as world,
        connect(settings, purpose="test"),
    ):
        yield world, contract


def test_a_pull_uses_the_operations_that_have_a_control(held: tuple[Engaged, Contract]) -> None:
    world, contract = held
    for hours, kind in enumerate(sorted(TOLD[world.kind])):
        world.plant(kind, "ann@shop.test", hours)
    world.pull()
    world.pull()
    assert contract.seen == {name for name, *_ in CONTROLS[world.kind]}
