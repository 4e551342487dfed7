"""The simulated Klaviyo behaves as the vendor says, where it says so: above all where that is dangerous."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reverse_etl.destination import Record
from reverse_etl.destinations.klaviyo_payload import global_unsubscription_job, import_job, subscription_job
from sandbox.twins.klaviyo_rates import VENDOR_RATES
from sandbox.twins.klaviyo_store import DEFAULT_LIST
from tests.reverse_etl.contract import Contract, ContractTransport
from tests.reverse_etl.klaviyo_world import API_KEY, Clock, KlaviyoServer
from warehouse.settings import PROJECT_DIR

HEADERS = {
    "Authorization": f"Klaviyo-API-Key {API_KEY}",
    "revision": "2026-07-15",
    "Content-Type": "application/vnd.api+json",
}
SUBS = {"additional-fields[profile]": "subscriptions"}


@pytest.fixture
def api(klaviyo: KlaviyoServer) -> Iterator[httpx.Client]:
    klaviyo.door.worker.polls = 0
    with httpx.Client(base_url=klaviyo.url, headers=HEADERS, trust_env=False) as client:
        yield client


def _suppressions(klaviyo: KlaviyoServer, email: str) -> list[str]:
    found = klaviyo.profile(email)
    assert found is not None
    return sorted(s["reason"] for s in found.suppressions)


def test_it_says_that_it_is_simulated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox.twins.klaviyo", "--port", "0", "--state", str(tmp_path / "k.sqlite")]
    twin = subprocess.Popen([*command, "--api-key", API_KEY], stdout=subprocess.PIPE, text=True, cwd=PROJECT_DIR)
    try:
        assert twin.stdout is not None
        ready = json.loads(twin.stdout.readline())
        assert ready["simulated"] is True
        assert httpx.get(f"{ready['url']}/lists/{ready['list_id']}", headers=HEADERS).status_code == 200
        stats = httpx.get(ready["url"].removesuffix("/api") + "/__twin__/stats").json()
        assert (stats["simulated"], stats["requests"]) == (True, 1)
    finally:
        twin.kill()
        twin.wait(10)


def test_subscribing_lifts_suppressions_but_no_bounce(klaviyo: KlaviyoServer, api: httpx.Client) -> None:
    """The trap: this is what a careless sync would do to whoever said no."""
    klaviyo.put("no@shop.test", "UNSUBSCRIBED", "UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED", "HARD_BOUNCE")
    assert api.post(
        "/profile-subscription-bulk-create-jobs", json=subscription_job(["no@shop.test"], DEFAULT_LIST)
    ).status_code == 202  # fmt: skip
    api.get("/lists")
    assert klaviyo.consent("no@shop.test") == "SUBSCRIBED"
    assert _suppressions(klaviyo, "no@shop.test") == ["HARD_BOUNCE"]
    assert klaviyo.subscribers == {"no@shop.test"}


def test_who_is_not_in_the_named_list_is_unsubscribed_globally(klaviyo: KlaviyoServer, api: httpx.Client) -> None:
    """The other trap; and what naming no list does: everybody, globally."""
    for email in ("in@shop.test", "out@shop.test", "any@shop.test"):
        klaviyo.put(email)
    klaviyo.put_inside("Simulated newsletter", "in@shop.test")
    body = global_unsubscription_job(["in@shop.test", "out@shop.test"])
    body["data"]["relationships"] = {"list": {"data": {"type": "list", "id": DEFAULT_LIST}}}
    path = "/profile-subscription-bulk-delete-jobs"
    api.post(path, json=body)
    api.post(path, json=global_unsubscription_job(["any@shop.test"]))
    api.get("/lists")
    consents = {e: klaviyo.consent(e) for e in ("in@shop.test", "out@shop.test", "any@shop.test")}
    assert consents == {"in@shop.test": "SUBSCRIBED", "out@shop.test": "UNSUBSCRIBED", "any@shop.test": "UNSUBSCRIBED"}
    left = klaviyo.profile("in@shop.test")
    assert left is not None
    assert [s["list_id"] for s in left.list_suppressions] == [DEFAULT_LIST]


def test_nulls_are_left_out_of_account_in_bulk_and_clear_alone(klaviyo: KlaviyoServer, api: httpx.Client) -> None:
    klaviyo.put("a@shop.test", "UNSUBSCRIBED", "UNSUBSCRIBE", city="A", theirs="x")
    row = {"type": "profile", "attributes": {"email": "a@shop.test", "properties": {"city": None}}}
    body = import_job([])
    body["data"]["attributes"]["profiles"]["data"] = [row]
    job = api.post("/profile-bulk-import-jobs", json=body).json()["data"]
    assert job["attributes"]["status"] == "queued"
    assert api.get(f"/profile-bulk-import-jobs/{job['id']}").json()["data"]["attributes"]["status"] == "complete"
    found = klaviyo.profile("a@shop.test")
    assert found is not None
    assert found.properties == {"city": "A", "theirs": "x"}
    assert api.post("/profile-import", json={"data": row}).status_code == 200
    found = klaviyo.profile("a@shop.test")
    assert found is not None
    assert found.properties == {"theirs": "x"}
    assert found.consent == "UNSUBSCRIBED"  # an import is no consent
    new = {"data": {"type": "profile", "attributes": {"email": "b@shop.test"}}}
    assert api.post("/profile-import", json=new).status_code == 201
    assert klaviyo.consent("b@shop.test") == "NEVER_SUBSCRIBED"


def test_a_job_takes_its_time(klaviyo: KlaviyoServer, api: httpx.Client) -> None:
    """A profile is readable once its job is complete."""
    klaviyo.door.worker.polls = 2
    body = import_job([Record("k", "a@shop.test", {"x": "1"}), Record("k", "bad@shop.invalid")])
    path = f"/profile-bulk-import-jobs/{api.post('/profile-bulk-import-jobs', json=body).json()['data']['id']}"
    states = []
    for _ in range(3):
        states.append(api.get(path).json()["data"]["attributes"]["status"])
        if states[-1] != "complete":
            assert klaviyo.profile("a@shop.test") is None
    assert states == ["processing", "processing", "complete"]
    errors = api.get(f"{path}/import-errors").json()["data"]
    assert [e["attributes"]["original_payload"]["attributes"]["email"] for e in errors] == ["bad@shop.invalid"]
    assert [p["attributes"]["email"] for p in api.get(f"{path}/profiles").json()["data"]] == ["a@shop.test"]
    assert api.get("/profile-bulk-import-jobs/nothing").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/profile-bulk-import-jobs", import_job([Record("k", "a@shop.test")] * 10_001)),
        ("/profile-bulk-import-jobs", import_job([Record("k", "a@shop.test", {"x": "y" * 120_000})])),
        ("/profile-bulk-import-jobs", import_job([Record("k", "nonsense")])),
        ("/profile-bulk-import-jobs", {"data": {"type": "profile"}}),
        ("/profile-bulk-import-jobs", ["nonsense"]),
        ("/profile-import", {"data": {"type": "profile", "attributes": {"email": "a@shop.test", "x": "y" * 10**5}}}),
        ("/profile-subscription-bulk-create-jobs", subscription_job(["a@shop.test"] * 1001, DEFAULT_LIST)),
        ("/profile-subscription-bulk-create-jobs", global_unsubscription_job(["a@shop.test"])),
        ("/profile-subscription-bulk-delete-jobs", global_unsubscription_job(["a@shop.test"] * 101)),
        ("/lists", {"data": {"type": "list", "attributes": {}}}),
    ],
)  # fmt: skip
def test_what_is_too_much_or_wrong_is_refused(klaviyo: KlaviyoServer, api: httpx.Client, path: str, body: Any) -> None:
    answer = api.post(path, json=body)
    assert answer.status_code in {400, 413}
    assert answer.json()["errors"]
    assert klaviyo.store.open_jobs() == []


def test_pages_hold_everybody_once(klaviyo: KlaviyoServer, klaviyo_contract: Contract) -> None:
    klaviyo.door.worker.polls = 0
    for n in range(45):
        klaviyo.put(f"p{n:02}@shop.test")
    found: list[str] = []
    params: dict[str, str] = {"page[size]": "20", "sort": "updated", **SUBS}
    with httpx.Client(headers=HEADERS, transport=ContractTransport(klaviyo_contract)) as client:
        answer = client.get(f"{klaviyo.url}/profiles", params=params).json()
        for _ in range(9):
            found += [row["attributes"]["email"] for row in answer["data"]]
            if "next" not in answer["links"]:
                break
            answer = client.get(answer["links"]["next"]).json()
    assert sorted(found) == [f"p{n:02}@shop.test" for n in range(45)]


def test_filters(klaviyo: KlaviyoServer, api: httpx.Client) -> None:
    klaviyo.put("a@shop.test")
    klaviyo.put("b@shop.test", "UNSUBSCRIBED", "UNSUBSCRIBE")
    klaviyo.store._run("update profiles set updated = '2020-01-01T00:00:00+00:00'")

    def emails(text: str) -> list[str]:
        return [row["attributes"]["email"] for row in api.get("/profiles", params={"filter": text}).json()["data"]]

    assert emails('any(email,["A@shop.test","none@shop.test"])') == ["a@shop.test"]
    assert emails('equals(email,"b@shop.test")') == ["b@shop.test"]
    assert emails("greater-than(updated,2020-01-01T00:00:00Z)") == []
    assert len(emails("greater-than(updated,2019-12-31T00:00:00Z)")) == 2
    suppressed = "subscriptions.email.marketing.suppression.timestamp"
    assert emails(f"greater-or-equal({suppressed},2024-01-01T00:00:00Z)") == ["b@shop.test"]
    for wrong in ("email", 'less-than(email,"x")', f"equals({suppressed},2024-01-01T00:00:00Z)", "any(email,[x])"):
        assert api.get("/profiles", params={"filter": wrong}).status_code == 400


def test_windows_and_headers(tmp_path: Path) -> None:
    """As the vendor's page words it: fixed windows, headers of the steady one, Retry-After with a 429."""
    clock = Clock()
    with KlaviyoServer(tmp_path / "rated.sqlite", rates=VENDOR_RATES, clock=clock) as twin:
        url = f"{twin.url}/lists/{DEFAULT_LIST}/relationships/profiles"
        body = {"data": [{"type": "profile", "id": twin.put("a@shop.test").id}]}
        with httpx.Client(headers=HEADERS, trust_env=False) as client:
            answers = [client.post(url, json=body) for _ in range(11)]
            assert [a.status_code for a in answers] == [204] * 10 + [429]
            assert (answers[9].headers["ratelimit-limit"], answers[9].headers["ratelimit-remaining"]) == ("150", "140")
            assert answers[10].headers["retry-after"] == "1"
            assert "ratelimit-limit" not in answers[10].headers
            clock.now += 1
            assert client.post(url, json=body).status_code == 204
            assert client.get(f"{twin.url}/lists").status_code == 200  # another operation has windows of its own


def test_who_has_no_key_or_revision_is_refused(klaviyo: KlaviyoServer) -> None:
    url = f"{klaviyo.url}/lists"
    assert httpx.get(url, headers={**HEADERS, "Authorization": "Klaviyo-API-Key other"}).status_code == 401
    assert httpx.get(url, headers={k: v for k, v in HEADERS.items() if k != "revision"}).status_code == 400
    assert httpx.get(f"{klaviyo.url}/nothing", headers=HEADERS).status_code == 404
