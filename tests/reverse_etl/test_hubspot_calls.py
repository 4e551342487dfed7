"""HubSpot's connector, call by call: pages, properties, lists, credentials."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from reverse_etl.connect import make_destination
from reverse_etl.destination import FieldSpec, Record
from reverse_etl.destinations import hubspot_pull
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.hubspot_answers import (
    quota_used_up,
)
from reverse_etl.destinations.hubspot_fields import as_text
from reverse_etl.errors import DestinationConfigError, DestinationDown, RejectedClass
from reverse_etl.limits import limit
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin, fake_hubspot
from tests.reverse_etl.world import hash_of

RECORDS = [Record(f"k{n}", f"p{n}@shop.test", {"mw_city": "A", "mw_score": str(n)}) for n in range(6)]


# lists


def test_memberships_need_the_vendors_ids(hubspot_twin: HubSpotTwin, hubspot_target: HubSpot) -> None:
    there = hubspot_twin.put("p0@shop.test")
    list_id = hubspot_target.create_segment("mw:vip")
    records = [
        Record("known", "p0@shop.test", remote_id=str(there.id)),
        Record("new", "p1@shop.test"),
        Record("gone", "p2@shop.test", remote_id="999999"),
    ]
    outcome = hubspot_target.set_membership(list_id, "add", records)
    assert [outcome.of(r.key).kind for r in records] == ["confirmed", "rejected", "rejected"]
    assert {outcome.of(k).rejected_class for k in ("new", "gone")} == {RejectedClass.RETRYABLE}
    assert hubspot_twin.inside("mw:vip") == {"p0@shop.test"}
    outcome = hubspot_target.set_membership(list_id, "remove", records)
    assert [outcome.of(r.key).kind for r in records] == ["confirmed", "rejected", "confirmed"]
    assert hubspot_twin.inside("mw:vip") == set()
    assert hubspot_target.set_membership(list_id, "add", [records[1]]).of("new").kind == "rejected"


def test_whom_this_run_created_enters_lists_at_once(hubspot_twin: HubSpotTwin, hubspot_target: HubSpot) -> None:
    record = Record("k", "P7@shop.test")
    assert hubspot_target.upsert("create", [record]).of("k").kind == "confirmed"
    list_id = hubspot_target.create_segment("mw:vip")
    assert hubspot_target.set_membership(list_id, "add", [record]).of("k").kind == "confirmed"
    assert hubspot_twin.inside("mw:vip") == {"p7@shop.test"}


def test_lists_are_read_to_the_last_page(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {f"mw:{n}": str(hubspot_twin.list_id(f"mw:{n}")) for n in range(5)}
    hubspot_twin.list_id("theirs")
    real = limit
    monkeypatch.setattr(
        "reverse_etl.destinations.hubspot.limit", lambda kind, name: 2 if name == "list_page_size" else real(kind, name)
    )
    assert hubspot_target.list_segments("mw:") == ids


# looking at everybody


def _few(monkeypatch: pytest.MonkeyPatch, **numbers: int) -> None:
    monkeypatch.setattr(hubspot_pull, "limit", lambda kind, name: numbers.get(name, limit(kind, name)))


def _pulled(hubspot_target: HubSpot, since: datetime | None = None) -> list[str]:
    return [member.email for page in hubspot_target.pull_members(since=since) for member in page]


def test_everybody_with_an_address_is_pulled(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, monkeypatch: pytest.MonkeyPatch
) -> None:
    emails = [f"p{n}@shop.test" for n in range(5)]
    for email in emails:
        hubspot_twin.put(email)
    hubspot_twin.put(None, None, phone="1")
    _few(monkeypatch, page_size=2)
    assert _pulled(hubspot_target) == emails
    assert hubspot_target.count_members() == 5


def test_changes_beyond_the_most_results_of_a_search_are_all_pulled(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1_790_000_000, 1_790_001_000))
    hubspot_twin.store.clock = lambda: float(next(now))
    emails = [f"p{n:02}@shop.test" for n in range(11)]
    for email in emails:
        hubspot_twin.put(email)
    _few(monkeypatch, search_page_size=2, search_results=4, search_overlap_seconds=0)
    found = _pulled(hubspot_target, datetime(2026, 9, 1))
    assert sorted(set(found)) == emails
    assert len(found) < 2 * len(emails)  # the last instant of each search is asked for again, no more


def test_more_changes_in_one_instant_than_a_search_shows(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubspot_twin.store.clock = lambda: 1_790_000_000.0
    emails = {f"p{n:02}@shop.test" for n in range(11)}
    for email in emails:
        hubspot_twin.put(email)
    _few(monkeypatch, search_page_size=2, search_results=4, search_overlap_seconds=0)
    assert set(_pulled(hubspot_target, datetime(2026, 9, 21, 14, 13, 20))) == emails


@pytest.mark.parametrize("shows_wide_opt_out", [True, False])
def test_statuses(hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, shows_wide_opt_out: bool) -> None:
    hubspot_twin.store.shows_wide_opt_out = shows_wide_opt_out
    hubspot_twin.put("yes@shop.test")
    hubspot_twin.put("silent@shop.test", None)
    hubspot_twin.put("left@shop.test", "UNSUBSCRIBED", hs_email_hard_bounce_reason_enum="OTHER")
    hubspot_twin.put("broken@shop.test", hs_email_hard_bounce_reason_enum="OTHER")
    hubspot_twin.put("all@shop.test")
    hubspot_twin.store.opt_out("all@shop.test")
    members = {m.email.partition("@")[0]: m for page in hubspot_target.pull_members() for m in page}
    assert {name: m.status for name, m in members.items()} == {
        "yes": "subscribed", "silent": "transactional", "left": "unsubscribed", "broken": "cleaned",
        "all": "unsubscribed",
    }  # fmt: skip
    assert members["yes"].subscriber_hash == hash_of("yes@shop.test")
    assert members["yes"].remote_id
    assert members["yes"].fields is None
    page = next(iter(hubspot_target.pull_members(fields=["lastname"])))
    assert {tuple((m.fields or {}).items()) for m in page} == {(("lastname", ""),)}


# properties, credentials


@pytest.mark.parametrize(
    ("value", "text"), [(12.0, "12"), (0.0000001, "0.0000001"), (12.5, "12.5"), (7, "7"), ("", ""), ("ü", "ü")]
)
def test_values_are_strings(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (FieldSpec("createdate", "x", "date"), "createdate is HubSpot's own"),
        (FieldSpec("email", "x", "text"), "email is HubSpot's own"),
        (FieldSpec("hs_email_optout", "x", "text"), "hs_email_optout is HubSpot's own"),
        (FieldSpec("MW_CITY", "x", "text"), "MW_CITY is not there, and not a name that we create"),
        (FieldSpec("city_of_ours", "x", "text"), "city_of_ours is not there"),
        (FieldSpec("mw_" + "x" * 98, "x", "text"), "not a name that we create"),
        (FieldSpec("city", "x", "number"), "city is of type string there and number here"),
        (FieldSpec("mw_locked", "x", "text"), "mw_locked cannot be written"),
    ],
)
def test_fields_that_do_not_fit(
    hubspot_twin: HubSpotTwin, hubspot_target: HubSpot, spec: FieldSpec, message: str
) -> None:
    locked = {"name": "mw_locked", "label": "x", "type": "string", "fieldType": "text", "groupName": "x"}
    hubspot_twin.store.add_property(locked, is_vendors=True)
    with pytest.raises(DestinationConfigError, match=message):
        hubspot_target.missing_fields([spec])


def test_fields_are_created_once_in_a_group_of_ours(hubspot_twin: HubSpotTwin, hubspot_target: HubSpot) -> None:
    specs = [FieldSpec("city", "City", "text"), FieldSpec("mw_a", "A", "number"), FieldSpec("mw_b", "B", "imageurl")]
    missing = hubspot_target.missing_fields(specs)
    assert [spec.key for spec in missing] == ["mw_a", "mw_b"]
    hubspot_target.create_fields(missing[:1])
    hubspot_target.create_fields(missing[1:])
    assert hubspot_target.missing_fields(specs) == ()
    assert hubspot_twin.store.groups()["mailwright"] == "Mailwright"
    with pytest.raises(DestinationConfigError, match="already exists"):
        hubspot_target.create_fields(missing)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"category": "INVALID_AUTHENTICATION", "message": "no"}, "does not accept the access token"),
        (403, {"category": "MISSING_SCOPES", "message": "scopes"}, "Marketing Hub Enterprise"),
        (418, None, "HubSpot refused"),
    ],
)
def test_refusals_are_one_clear_error(status: int, body: Any, message: str) -> None:
    target = fake_hubspot(lambda _: httpx.Response(status, json=body))
    with pytest.raises(DestinationConfigError) as caught:
        target.check()
    assert message in str(caught.value)
    assert TOKEN not in str(caught.value)
    outcome = target.upsert("create", RECORDS)
    assert isinstance(outcome.stop, DestinationConfigError)
    assert outcome.of("k0").rejected_class is RejectedClass.RETRYABLE


@pytest.mark.parametrize(("status", "waits"), [(423, True), (477, False)])
def test_a_locked_or_moving_account(status: int, waits: bool) -> None:
    """A lock ends in seconds; a move may take a day, which no run waits for."""
    naps: list[float] = []
    answers = iter([httpx.Response(status, headers={} if waits else {"retry-after": "86400"})] * 2)
    good = httpx.Response(200, json={"results": [{"id": "1"}]})
    target = HubSpot(
        TOKEN, "1", base_url="http://x", sleep=naps.append,
        transport=httpx.MockTransport(lambda _: next(answers, good)),
    )  # fmt: skip
    if waits:
        target.check()
        assert len([nap for nap in naps if nap >= 1]) == 2
    else:
        with pytest.raises(DestinationDown, match="86400 seconds"):
            target.check()


def test_a_days_quota() -> None:
    used_up = httpx.Response(429, json={"policyName": "DAILY"})
    by_header = httpx.Response(429, headers={"x-hubspot-ratelimit-daily-remaining": "0"})
    rolling = httpx.Response(429, json={"policyName": "TEN_SECONDLY_ROLLING"})
    found = [quota_used_up(response) is not None for response in (used_up, by_header, rolling)]
    assert found == [True, True, False]


def test_credentials() -> None:
    with pytest.raises(DestinationConfigError, match="HUBSPOT_ACCESS_TOKEN and HUBSPOT_SUBSCRIPTION_ID not set"):
        make_destination("hubspot", {})
    environment = {"HUBSPOT_ACCESS_TOKEN": TOKEN, "HUBSPOT_SUBSCRIPTION_ID": "4711"}
    made = make_destination("hubspot", environment)
    assert (made.key, made.kind) == ("hubspot/default/4711", "hubspot")
    assert make_destination("hubspot", {**environment, "HUBSPOT_PORTAL": "eu"}).key == "hubspot/eu/4711"
    for wrong in ({"HUBSPOT_SUBSCRIPTION_ID": "news"}, {"HUBSPOT_PORTAL": "a/b"}):
        with pytest.raises(DestinationConfigError):
            make_destination("hubspot", {**environment, **wrong})


def test_an_unknown_subscription_type_or_token(hubspot_twin: HubSpotTwin) -> None:
    for token, subscription, message in ((TOKEN, "99", "no subscription type 99"), ("wrong", "4711", "access token")):
        target = HubSpot(token, subscription, base_url=hubspot_twin.url, sleep=lambda _: None)
        with pytest.raises(DestinationConfigError, match=message):
            target.check()
        target.close()


def test_as_a_command_the_twin_prints_its_url_and_keeps_its_state(tmp_path: Path) -> None:
    state = tmp_path / "folder" / "hubspot_twin.sqlite"
    for turn in range(2):
        command = [sys.executable, "-m", "sandbox.twins.hubspot", "--port", "0", "--state", str(state)]
        process = subprocess.Popen([*command, "--api-key", TOKEN], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["simulated"] is True
            target = HubSpot(TOKEN, ready["subscription_id"], base_url=ready["url"], sleep=lambda _: None)
            target.check()
            assert target.count_members() == turn
            assert target.upsert("create", [Record(f"k{turn}", f"p{turn}@shop.test")]).default.kind == "confirmed"
            target.close()
        finally:
            process.kill()
            process.wait(10)
