"""The twin behaves as the vendor does, as far as specification, recordings and vendor's pages say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.conftest import transport_at_hand
from tests.reverse_etl.world import API_KEY, TwinServer, hash_of

L = f"/lists/{DEFAULT_LIST}"


@pytest.fixture
def client(twin: TwinServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin.url, auth=("any", API_KEY), transport=transport_at_hand("mailchimp")) as http:
        yield http


def _batch(client: httpx.Client, *members: dict[str, Any], update: bool = False, **query: str) -> dict[str, Any]:
    answer = client.post(L, json={"members": list(members), "update_existing": update}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_authorization(twin: TwinServer) -> None:
    assert httpx.get(twin.url + L, auth=("any", "wrong")).json()["title"] == "API Key Invalid"
    assert httpx.get(twin.url + L).status_code == 401
    assert httpx.get(twin.url + L, headers={"Authorization": f"Bearer {API_KEY}"}).status_code == 200
    assert httpx.get(twin.url + "/lists/other", auth=("any", API_KEY)).status_code == 404


def test_merge_fields_have_limits(client: httpx.Client) -> None:
    path = f"{L}/merge-fields"
    assert client.get(path).json()["total_items"] == 4
    made = client.post(path, json={"tag": "MW_LASTPUR", "name": "Last", "type": "date"})
    assert made.json()["tag"] == "MW_LASTPUR"
    assert client.post(path, json={"tag": "MW_LASTPUR", "name": "Last", "type": "date"}).status_code == 400
    for n in range(25):
        assert client.post(path, json={"tag": f"F{n}", "name": "x", "type": "text"}).status_code == 200
    assert client.post(path, json={"tag": "F99", "name": "x", "type": "text"}).status_code == 400
    assert client.delete(f"{path}/{made.json()['merge_id']}").status_code == 204


def test_a_tag_of_eleven_characters_is_refused(twin: TwinServer) -> None:
    body = {"tag": "ELEVEN_CHAR", "name": "x", "type": "text"}
    assert httpx.post(f"{twin.url}{L}/merge-fields", json=body, auth=("any", API_KEY)).status_code == 400


def test_batch_creates_updates_and_reports_each_error(client: httpx.Client, twin: TwinServer) -> None:
    twin.put("old@shop.test", FNAME="Old")
    created = _batch(
        client,
        {"email_address": "New@Shop.test", "status": "subscribed", "merge_fields": {"FNAME": "Nü", "NOPE": "x"}},
        {"email_address": "old@shop.test", "status": "subscribed"},
        {"email_address": "not an address", "status": "subscribed"},
        {"email_address": "nostatus@shop.test"},
    )
    assert created["total_created"] == 1
    assert created["new_members"][0]["id"] == hash_of("new@shop.test")
    codes = {e["email_address"]: e["error_code"] for e in created["errors"]}
    assert codes == {
        "old@shop.test": "ERROR_CONTACT_EXISTS",
        "not an address": "ERROR_GENERIC",
        "nostatus@shop.test": "ERROR_GENERIC",
    }
    changed = _batch(client, {"email_address": "old@shop.test", "merge_fields": {"FNAME": ""}}, update=True)
    assert changed["total_updated"] == 1
    assert twin.member("old@shop.test").merge_fields == {}  # pyright: ignore[reportOptionalMemberAccess]
    assert twin.status("old@shop.test") == "subscribed"


def test_update_existing_changes_the_status_of_members(client: httpx.Client, twin: TwinServer) -> None:
    """The trap: a status in a batch re-subscribes whom the API unsubscribed; who left by herself is safe."""
    twin.put("api@shop.test", "unsubscribed", "api")
    twin.put("self@shop.test", "unsubscribed", "member")
    twin.put("bounced@shop.test", "cleaned")
    emails = ("api@shop.test", "self@shop.test", "bounced@shop.test")
    answer = _batch(client, *({"email_address": e, "status": "subscribed"} for e in emails), update=True)
    assert answer["total_updated"] == 1
    assert [twin.status(e) for e in emails] == ["subscribed", "unsubscribed", "cleaned"]
    assert all("compliance state" in e["error"] for e in answer["errors"])


def test_sync_tags_deletes_everybodys_tags(twin: TwinServer) -> None:
    twin.put("a@shop.test")
    twin.put_inside("theirs", "a@shop.test")
    body = {"members": [{"email_address": "a@shop.test"}], "update_existing": True, "sync_tags": True}
    httpx.post(twin.url + L, json=body, auth=("any", API_KEY))
    assert twin.inside("theirs") == set()


def test_too_large_batches_are_refused_whole(twin: TwinServer) -> None:
    members = [{"email_address": f"p{n}@shop.test", "status": "subscribed"} for n in range(501)]
    answer = httpx.post(twin.url + L, json={"members": members}, auth=("any", API_KEY))
    assert answer.status_code == 400
    assert twin.store.members(DEFAULT_LIST)[1] == 0


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("number", "AAAAA", "Please enter a number"),
        ("date", "2011-13-01", "Please enter a valid date"),
        ("url", "no link", "Please enter a valid URL"),
        ("text", "é" * 128, "Please enter a value with at most 255 bytes"),
    ],
)
def test_merge_values_are_checked(client: httpx.Client, kind: str, value: str, message: str) -> None:
    client.post(f"{L}/merge-fields", json={"tag": "X", "name": "x", "type": kind})
    wrong = {"email_address": "a@shop.test", "status": "subscribed", "merge_fields": {"X": value}}
    error = _batch(client, wrong)["errors"][0]
    assert (error["field"], error["field_message"]) == ("X", message)


def test_pages_filters_and_projection(client: httpx.Client, twin: TwinServer) -> None:
    for n in range(25):
        twin.put(f"p{n:02d}@shop.test", "subscribed" if n % 5 else "unsubscribed")
    twin.put("gone@shop.test", "archived")
    path = f"{L}/members"
    assert len(client.get(path).json()["members"]) == 10
    page = client.get(path, params={"fields": "members.id,total_items", "count": 20, "offset": 20}).json()
    assert page["total_items"] == 25
    assert [set(m) for m in page["members"]] == [{"id"}] * 5
    assert client.get(path, params={"status": "unsubscribed", "count": 1}).json()["total_items"] == 5
    assert client.get(path, params={"status": "archived", "count": 1}).json()["total_items"] == 1
    future = client.get(path, params={"since_last_changed": "2099-01-01T00:00:00+00:00"}).json()
    assert future["total_items"] == 0


def test_static_segments(client: httpx.Client, twin: TwinServer) -> None:
    twin.put("a@shop.test")
    twin.put("b@shop.test", "unsubscribed")
    made = client.post(f"{L}/segments", json={"name": "mw:vip", "static_segment": []}).json()
    assert made["type"] == "static"
    path = f"{L}/segments/{made['id']}"
    body = {"members_to_add": ["a@shop.test", "b@shop.test", "unknown@shop.test"]}
    answer = client.post(path, json=body).json()
    assert (answer["total_added"], answer["error_count"]) == (2, 1)
    assert answer["errors"][0]["email_addresses"] == ["unknown@shop.test"]
    assert client.post(path, json=body).json()["total_added"] == 0
    assert len(client.get(f"{path}/members").json()["members"]) == 1
    assert len(client.get(f"{path}/members", params={"include_unsubscribed": "true"}).json()["members"]) == 2
    assert client.get(f"{L}/segments", params={"type": "static"}).json()["segments"][0]["member_count"] == 1
    tags = client.get(f"{L}/members/{hash_of('a@shop.test')}/tags").json()["tags"]
    assert [tag["name"] for tag in tags] == ["mw:vip"]
    answer = client.post(path, json={"members_to_remove": ["a@shop.test"]}).json()
    assert answer["total_removed"] == 1
    assert client.post(f"{L}/segments", json={"name": "mw:vip", "static_segment": []}).status_code == 400
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_single_member(client: httpx.Client, twin: TwinServer) -> None:
    path = f"{L}/members/{hash_of('a@shop.test')}"
    assert client.get(path).status_code == 404
    body = {"email_address": "a@shop.test", "status_if_new": "subscribed", "merge_fields": {"FNAME": "Ann"}}
    assert client.put(path, json=body).json()["status"] == "subscribed"
    assert client.patch(path, json={"status": "unsubscribed"}).json()["status"] == "unsubscribed"
    tags = {"tags": [{"name": "x", "status": "active"}]}
    assert client.post(f"{path}/tags", json=tags).status_code == 204
    assert twin.inside("x") == {hash_of("a@shop.test")}
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 405
    assert client.post(f"{path}/actions/delete-permanent").status_code == 204
    answer = client.put(path, json=body)
    assert (answer.status_code, answer.json()["title"]) == (400, "Forgotten Email Not Subscribed")


def test_more_than_ten_connections_are_throttled(twin: TwinServer) -> None:
    twin.faults.add("slow", times=-1, seconds=0.3)
    with ThreadPoolExecutor(14) as pool:
        statuses = list(
            pool.map(lambda _: httpx.get(twin.url + L, auth=("any", API_KEY), timeout=30).status_code, range(14))
        )
    assert statuses.count(200) + statuses.count(429) == 14
    assert twin.door.most_open <= 14
    assert statuses.count(429) == twin.store.counters().get("throttled", 0)


def test_faults_are_injected_and_counted(twin: TwinServer) -> None:
    def ask() -> httpx.Response:
        return httpx.post(twin.url + L, json={"members": []}, auth=("any", API_KEY), timeout=5)

    twin.faults.add("429")
    assert ask().status_code == 429
    twin.faults.add("403")
    answer = ask()
    assert (answer.status_code, answer.content) == (403, b"")
    assert "json" not in answer.headers.get("content-type", "")
    twin.faults.add("500", skip=1)
    assert [ask().status_code, ask().status_code] == [200, 500]
    for kind in ("close_before", "close_after"):
        twin.faults.add(kind)
        with pytest.raises(httpx.TransportError):
            ask()
    root = twin.url.removesuffix("/3.0")
    counted = httpx.get(f"{root}/__twin__/stats").json()
    assert counted["simulated"] is True
    assert (counted["requests"], counted["writes"], counted["throttled"]) == (6, 2, 2)
    assert httpx.post(f"{root}/__twin__/faults", json=[{"kind": "429", "times": 2}]).json()["waiting"] >= 1
    assert ask().status_code == 429
    httpx.delete(f"{root}/__twin__/faults")
    assert ask().status_code == 200


def test_as_a_command_it_prints_its_url_and_keeps_its_state(tmp_path: Path) -> None:
    state = tmp_path / "folder" / "twin.sqlite"
    for turn in range(2):
        command = [sys.executable, "-m", "sandbox.twins.mailchimp", "--port", "0", "--state", str(state)]
        process = subprocess.Popen([*command, "--api-key", API_KEY], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["simulated"] is True
            url = f"{ready['url']}/lists/{ready['list_id']}"
            members = httpx.get(f"{url}/members", auth=("x", API_KEY)).json()
            assert members["total_items"] == turn
            body = {"members": [{"email_address": "a@shop.test", "status": "subscribed"}]}
            assert httpx.post(url, json=body, auth=("x", API_KEY)).status_code == 200
        finally:
            process.kill()
            process.wait(10)
