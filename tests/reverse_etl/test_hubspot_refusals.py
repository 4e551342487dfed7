"""Whom a refusal of HubSpot is about: by position, trace id, address or value, or by halving; and nobody else."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from reverse_etl.destination import BatchOutcome, FieldSpec, Record
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.hubspot_answers import (
    already_there,
    missing_properties,
    named_records,
    outcomes_of,
)
from reverse_etl.errors import RejectedClass
from tests.reverse_etl.hubspot_world import HubSpotTwin, fake_hubspot

RECORDS = [Record(f"k{n}", f"p{n}@shop.test", {"mw_city": "A", "mw_score": str(n)}) for n in range(6)]


def _kinds(outcome: BatchOutcome) -> dict[str, tuple[str, RejectedClass | None]]:
    return {r.key: (outcome.of(r.key).kind, outcome.of(r.key).rejected_class) for r in RECORDS}


FLAW = {"isValid": False, "message": "Email address P2@shop.test is invalid", "error": "INVALID_EMAIL", "name": "email"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": f"Property values were not valid: {json.dumps([FLAW])}", "category": "VALIDATION_ERROR"}, {"k2"}),
        ({"message": "Errors found", "failureMessages": [{"index": 3, "propertyValidationResult": {}}]}, {"k3"}),
        ({"message": "bad input", "errors": [{"message": "no", "in": "inputs[1].id"}]}, {"k1"}),
        ({"message": "x", "errors": [{"message": "no", "context": {"objectWriteTraceId": ["4"]}}]}, {"k4"}),
        ({"message": "x", "errors": [{"message": "no", "context": {"ids": ["p0@shop.test"]}}]}, {"k0"}),
        ({"validationResults": [{"message": "5 was not a valid long.", "name": "mw_score"}]}, {"k5"}),
        ({"validationResults": [{"message": "A was not a valid long.", "name": "mw_score"}]}, set()),
        ({"message": "inputs[99] is wrong"}, set()),
        ({"message": "a very bad request"}, set()),
        (None, set()),
        ("<html>", set()),
    ],
)
def test_named_records(body: Any, expected: set[str]) -> None:
    assert set(named_records(body, RECORDS)) == expected


def test_a_missing_property_concerns_all() -> None:
    flaw = {
        "isValid": False,
        "message": 'Property "mw_x" does not exist',
        "error": "PROPERTY_DOESNT_EXIST",
        "name": "mw_x",
    }
    assert missing_properties({"message": f"Property values were not valid: {json.dumps([flaw])}"}) == ["mw_x"]
    assert missing_properties({"message": "[{broken"}) == []


def test_a_207_is_read_record_by_record() -> None:
    answer = {
        "results": [
            {"id": "9", "objectWriteTraceId": "1", "properties": {}},
            {"id": "8", "properties": {"email": "p0@shop.test"}},
            {"id": "7", "objectWriteTraceId": "77", "properties": {"email": "stranger@shop.test"}},
        ],
        "errors": [
            {"category": "VALIDATION_ERROR", "message": "p2@shop.test?", "context": {"objectWriteTraceId": ["2"]}},
            {"category": "CONFLICT", "message": "later", "context": {"ids": ["p3@shop.test"]}},
            {"category": "VALIDATION_ERROR", "message": "Email address p4@shop.test is invalid", "context": {}},
        ],
    }
    outcomes, results = outcomes_of(RECORDS, answer, str)
    classes = {key: (o.kind, o.rejected_class) for key, o in outcomes.items()}
    assert classes == {
        "k0": ("confirmed", None),
        "k1": ("confirmed", None),
        "k2": ("rejected", RejectedClass.DATA),
        "k3": ("rejected", RejectedClass.RETRYABLE),
        "k4": ("rejected", RejectedClass.DATA),
        "k5": ("rejected", RejectedClass.RETRYABLE),  # not mentioned
    }
    assert {row["record"].key for row in results} == {"k0", "k1"}


@pytest.mark.parametrize("how", ["400", "207"])
def test_one_value_that_does_not_fit_costs_nobody_else(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, how: str
) -> None:
    hubspot_twin.app.ends.wrong_records = how  # pyright: ignore[reportAttributeAccessIssue]
    hubspot_target.create_fields([FieldSpec("mw_city", "City", "text"), FieldSpec("mw_score", "Score", "number")])
    for record in RECORDS:
        hubspot_twin.put(record.email)
    records = [*RECORDS[:5], Record("k5", "p5@shop.test", {"mw_score": "five"})]
    outcome = hubspot_target.upsert("update", records)
    assert _kinds(outcome) == {f"k{n}": ("confirmed", None) for n in range(5)} | {
        "k5": ("rejected", RejectedClass.DATA)
    }
    assert outcome.unexpected == 0
    assert hubspot_twin.fields_of("p4@shop.test") == {"mw_city": "A", "mw_score": "4"}
    assert "five was not a valid number" in outcome.of("k5").message


def test_whom_nobody_names_is_found_by_halving() -> None:
    calls: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        inputs = json.loads(request.content)["inputs"]
        calls.append(len(inputs))
        if any(one["id"] == "p3@shop.test" for one in inputs):
            return httpx.Response(400, json={"message": "no", "category": "VALIDATION_ERROR", "correlationId": "x"})
        rows = [{"id": "1", "new": False, "objectWriteTraceId": one["objectWriteTraceId"]} for one in inputs]
        return httpx.Response(200, json={"results": rows})

    outcome = fake_hubspot(handler).upsert("update", RECORDS)
    assert _kinds(outcome) == {
        r.key: ("rejected", RejectedClass.DATA) if r.key == "k3" else ("confirmed", None) for r in RECORDS
    }
    assert calls == [6, 3, 3, 1, 2]


def test_somebody_elses_writing_at_the_same_time_is_no_fault_of_the_record() -> None:
    body = {"message": "conflict", "category": "CONFLICT", "correlationId": "x"}
    outcome = fake_hubspot(lambda _: httpx.Response(409, json=body)).upsert("update", RECORDS[:2])
    assert {outcome.of(r.key).rejected_class for r in RECORDS[:2]} == {RejectedClass.RETRYABLE}
    assert outcome.stop is None


def test_halving_is_bounded() -> None:
    calls: list[int] = []

    def handler(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(400, json={"message": "no", "category": "VALIDATION_ERROR", "correlationId": "x"})

    records = [Record(f"k{n}", f"p{n}@shop.test") for n in range(100)]
    outcome = fake_hubspot(handler).upsert("update", records)
    assert len(calls) <= 81
    assert {outcome.of(r.key).rejected_class for r in records} == {RejectedClass.DATA, RejectedClass.RETRYABLE}


def test_an_address_that_subscriptions_refuse_as_a_whole_batch_is_found_too() -> None:
    """Whether they answer so is not documented: nobody else may lose her creation by it."""

    def handler(request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, json.loads(request.content)
        given = [one if isinstance(one, str) else one.get("subscriberIdString") or one["id"] for one in body["inputs"]]
        if "p3@shop.test" in given and "upsert" not in path:
            return httpx.Response(400, json={"message": "no", "category": "VALIDATION_ERROR", "correlationId": "x"})
        if path.endswith("batch/write"):
            rows = [{"subscriberIdString": one, "status": "SUBSCRIBED"} for one in given]
        elif path.endswith("batch/upsert"):
            rows = [{"id": "1", "new": True, "objectWriteTraceId": str(n)} for n in range(len(given))]
        else:
            rows = []
        return httpx.Response(200, json={"results": rows})

    outcome = fake_hubspot(handler).upsert("create", RECORDS)
    assert {key for key, (kind, _) in _kinds(outcome).items() if kind == "confirmed"} == {"k0", "k1", "k2", "k4", "k5"}
    assert outcome.of("k3").rejected_class is RejectedClass.DATA


def test_a_further_address_of_a_contact_is_not_taken_for_somebody_new() -> None:
    emails = ["a@shop.test", "b@shop.test", "c@shop.test"]
    absent = {"category": "OBJECT_NOT_FOUND", "message": "not there", "context": {"ids": ["c@shop.test"]}}
    shown = {"results": [{"properties": {"email": "main@shop.test"}}], "errors": [absent]}
    assert already_there(emails, shown) == {"a@shop.test", "b@shop.test"}
    assert already_there(emails, {"results": [{"properties": {"email": "A@shop.test"}}]}) == {"a@shop.test"}
    assert already_there(emails, {"results": [], "errors": [absent]}) == set()


def test_a_lowering_is_confirmed_by_name(hubspot_twin: HubSpotTwin, hubspot_target: HubSpot) -> None:
    hubspot_twin.put("p0@shop.test")
    outcome = hubspot_target.upsert("lower", [RECORDS[0], Record("bad", "no address")])
    assert outcome.of("k0").kind == "confirmed"
    assert outcome.of("bad").rejected_class is RejectedClass.DATA
    assert hubspot_twin.status("p0@shop.test") == "unsubscribed"


def test_whatever_a_batch_holds_nobody_is_created_by_a_clear_of_nothing(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot
) -> None:
    outcome = hubspot_target.upsert("clear", [Record("k0", "p0@shop.test", {"firstname": ""})])
    assert outcome.of("k0").kind == "confirmed"
    assert hubspot_twin.writes == 0
