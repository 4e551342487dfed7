"""The SendGrid twin by itself: that it refuses, lags and reports as the sources say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from sandbox.twins.sendgrid import Rate
from tests.reverse_etl.sendgrid_world import SENDGRID_KEY, SendGridWorld
from warehouse.settings import PROJECT_DIR


class Caller:
    """Speaks to the twin as any client would."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {SENDGRID_KEY}"}, trust_env=False)

    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> tuple[int, Any]:
        response = self.client.request(method, path, json=body, params=params or None)
        return response.status_code, response.json() if response.content else None

    def upsert(self, *contacts: dict[str, Any], lists: tuple[str, ...] = ()) -> tuple[int, Any]:
        return self("PUT", "/marketing/contacts", {"contacts": list(contacts), "list_ids": list(lists)})


@pytest.fixture
def call(sendgrid: SendGridWorld) -> Caller:
    return Caller(sendgrid.twin.url)


def test_a_contact_is_seen_when_its_job_has_ended(sendgrid: SendGridWorld, call: Caller) -> None:
    sendgrid.twin.store.job_looks = 2
    _, answer = call.upsert({"email": "Ann@Shop.test", "first_name": "Ann"})
    path = f"/marketing/contacts/imports/{answer['job_id']}"
    for _ in range(2):
        assert call("GET", path)[1]["status"] == "pending"
        assert call("GET", "/marketing/contacts/count")[1]["contact_count"] == 0
    ended = call("GET", path)[1]
    assert ended["status"] == "completed"
    assert ended["results"] == {"requested_count": 1, "created_count": 1, "updated_count": 0, "errored_count": 0}
    status, found = call("POST", "/marketing/contacts/search/identifiers/email", {"identifiers": ["ann@shop.test"]})
    assert (status, found["result"]["ann@shop.test"]["contact"]["first_name"]) == (200, "Ann")


def test_one_wrong_address_fails_the_batch(call: Caller) -> None:
    status, answer = call.upsert({"email": "ann@shop.test"}, {"email": "000"})
    assert (status, answer) == (
        400,
        {"errors": [{"field": "contacts[1].email", "message": "email '000' is not valid"}]},
    )


def test_fields_are_known_by_their_ids_and_never_null(sendgrid: SendGridWorld, call: Caller) -> None:
    field = sendgrid.twin.store.add_field("mw_city", "Text")
    assert call.upsert({"email": "a@shop.test", "custom_fields": {field["id"]: "Köln"}})[0] == 202
    status, answer = call.upsert({"email": "a@shop.test", "custom_fields": {"mw_city": "Köln"}})
    assert (status, answer["errors"][0]["message"]) == (400, "invalid custom field ids supplied - mw_city")
    status, answer = call.upsert({"email": "a@shop.test", "custom_fields": {field["id"]: None}})
    assert (status, answer["errors"][0]["message"]) == (400, f'custom field "{field["id"]}" cannot be null')


def test_names_of_fields(call: Caller) -> None:
    path = "/marketing/field_definitions"
    assert call("POST", path, {"name": "mw_city", "field_type": "Text"})[0] == 200
    for name in ("MW_City", "first_name", "1st", "a b", ""):
        assert call("POST", path, {"name": name, "field_type": "Text"})[0] == 400, name


def test_an_upsert_lifts_no_suppression_and_omits_nothing(sendgrid: SendGridWorld, call: Caller) -> None:
    sendgrid.twin.put("ann@shop.test", first_name="Ann", city="Köln")
    assert call("POST", "/asm/suppressions/global", {"recipient_emails": ["ann@shop.test"]})[0] == 201
    _, answer = call.upsert({"email": "ann@shop.test", "city": ""})
    for _ in range(2):
        call("GET", f"/marketing/contacts/imports/{answer['job_id']}")
    assert sendgrid.twin.fields_of("ann@shop.test") == {"first_name": "Ann"}
    assert sendgrid.twin.status("ann@shop.test") == "unsubscribed"


def test_a_removal_of_somebody_unknown_is_refused(sendgrid: SendGridWorld, call: Caller) -> None:
    contact = sendgrid.twin.put("ann@shop.test")
    sendgrid.twin.put_inside("vip", "ann@shop.test")
    path = f"/marketing/lists/{sendgrid.twin.store.lists()[0]['id']}/contacts"
    assert call("DELETE", path, contact_ids=f"{contact.id},unknown")[0] == 404
    assert call("DELETE", "/marketing/lists/unknown/contacts", contact_ids=contact.id)[0] == 404
    assert call("DELETE", path, contact_ids=contact.id)[0] == 202


@pytest.mark.parametrize("resets", ["seconds", "epoch"])
def test_rates(sendgrid: SendGridWorld, call: Caller, resets: Any) -> None:
    """Per path, with the headers of recorded traffic."""
    sendgrid.twin.store.clock = lambda: 1_800_000_000.0
    sendgrid.twin.app.rate = Rate(2, 60, resets)
    first = call.client.get("/marketing/contacts/count")
    expected = {"seconds": "60", "epoch": "1800000060"}[resets]
    assert first.headers["x-ratelimit-limit"] == "2"
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert first.headers["x-ratelimit-reset"] == expected
    statuses = [call("GET", "/marketing/contacts/count")[0] for _ in range(2)]
    assert statuses == [200, 429]
    assert call("GET", "/marketing/lists")[0] == 200
    sendgrid.twin.store.clock = lambda: 1_800_000_060.0
    assert call("GET", "/marketing/contacts/count")[0] == 200


def test_files_want_no_key(sendgrid: SendGridWorld, call: Caller) -> None:
    token = sendgrid.twin.store.add_file(b"rows")
    url = f"{sendgrid.twin.url.removesuffix('/v3')}/__files__/{token}"
    assert httpx.get(url, trust_env=False).content == b"rows"
    assert call.client.get(url).status_code == 400
    assert httpx.get(url + "0", trust_env=False).status_code == 403


def test_no_key_no_answer(sendgrid: SendGridWorld) -> None:
    for headers in ({}, {"Authorization": "Bearer SG.other"}):
        answer = httpx.get(f"{sendgrid.twin.url}/marketing/lists", headers=headers, trust_env=False)
        assert answer.status_code == 401


def test_it_starts_from_the_command_line_and_keeps_its_state(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "sandbox.twins.sendgrid", "--port", "0", "--state", str(tmp_path / "x" / "s.db")]
    for n in range(2):
        twin = subprocess.Popen(
            [*command, "--api-key", SENDGRID_KEY, "--job-looks", "0"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_DIR,
        )
        try:
            assert twin.stdout is not None
            ready = json.loads(twin.stdout.readline())
            assert ready["simulated"] is True
            call = Caller(ready["url"])
            assert call("GET", "/marketing/contacts/count")[1]["contact_count"] == n
            _, answer = call.upsert({"email": f"p{n}@shop.test"})
            assert call("GET", f"/marketing/contacts/imports/{answer['job_id']}")[1]["status"] == "completed"
        finally:
            twin.kill()
            twin.wait(10)
