"""What people did with their mail comes back from every vendor once, whenever and however often it is told."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from ingest.load import load_pulled
from reverse_etl import lease, limits
from reverse_etl import pull as pulling
from reverse_etl.connect import VENDORS as ESP_KINDS
from reverse_etl.errors import DestinationConfigError, DestinationDown, LeaseHeld
from tests.reverse_etl.engagement_world import COMMON, NOW, SENT_AT, TOLD, VENDORS, Engaged, Row
from warehouse.connection import connect
from warehouse.errors import ConfigError
from warehouse.settings import Settings

KINDS = ("sent", "delivered", "open", "click", "bounce", "complaint", "unsubscribe")


def story(world: Engaged) -> Counter[Row]:
    """Two people to whom all of it happened; what this vendor tells of that."""
    planted = [
        world.plant(kind, email, n + hours, **({"url": "https://shop.test/"} if kind == "click" else {}))
        for n, email in enumerate(("ann@shop.test", "bob@shop.test"))
        for hours, kind in enumerate(KINDS)
    ]
    return Counter(
        # Mailchimp dates what was sent by the mailing
        (kind, email, SENT_AT if (world.kind, kind) == ("mailchimp", "sent") else at)
        for kind, email, at in planted
        if kind in world.told
    )


def test_what_happened_is_what_lies_in_the_raw_table(engaged: Engaged) -> None:
    expected = story(engaged)
    report = engaged.pull()
    assert engaged.rows() == expected
    assert report.new == Counter(kind for kind, *_ in expected.elements())
    assert (report.known, report.rejected, report.unaddressed, report.quarantined) == (0, {}, 0, 0)
    requests = {"mailchimp": 5, "klaviyo": 1 + 7, "sendgrid": 5, "hubspot": 7}  # as docs/syncs.md counts them
    assert report.requests == engaged.twin.store.counters()["requests"] == requests[engaged.kind]
    assert all(at <= NOW for at in report.cursors.values())
    assert engaged.cursors() == report.cursors
    always_whole = {"complaint", "unsubscribe"} if engaged.kind == "mailchimp" else set()
    own = {stream: at for stream, at in report.cursors.items() if not stream.startswith(("mailings", "sent/"))}
    assert max(own.values()) == max(at for kind, _, at in expected if kind not in always_whole)
    bounce, link = engaged.query(
        "select max(bounce_type), max(link_url) from raw.email_events where received_at = timestamp '2026-06-03 12:00'"
    )[0]
    assert bounce == "hard"
    assert link == ("https://shop.test/" if "click" in engaged.told else None)
    (status, message) = engaged.query("select status, message from ledger.engagement_pulls")[0]
    assert (status, message) == ("succeeded", None)


def test_a_second_run_adds_nothing(engaged: Engaged) -> None:
    expected = story(engaged)
    engaged.pull()
    report = engaged.pull()
    assert (report.n_new, engaged.rows()) == (0, expected)
    assert report.known > 0
    assert len(engaged.query("select load_id from ops.loads")) == 1
    # and asks for less: what lies more than a day behind the cursor is not asked for
    engaged.now += timedelta(days=30)
    assert engaged.pull().n_new == 0


def test_what_comes_late_and_out_of_order_is_caught_once(engaged: Engaged) -> None:
    expected = Counter([engaged.plant(COMMON, "new@shop.test", 40)])
    engaged.pull()
    expected[engaged.plant(COMMON, "late@shop.test", 40 - 23)] += 1
    expected[engaged.plant(COMMON, "newer@shop.test", 41)] += 1
    expected[engaged.plant(COMMON, "same@shop.test", 40)] += 1
    report = engaged.pull()
    assert report.new == {COMMON: 3}
    assert engaged.rows() == expected
    engaged.plant(COMMON, "backwards@shop.test", 20)
    assert engaged.pull().n_new == 1
    assert engaged.pull().n_new == 0
    assert max(engaged.rows().values()) == 1


def test_what_comes_later_than_the_overlap_needs_since(engaged: Engaged) -> None:
    engaged.plant(COMMON, "new@shop.test", 40)
    engaged.pull()
    before = engaged.cursors()
    engaged.plant(COMMON, "very_late@shop.test", 40 - 25)
    assert engaged.pull().n_new == 0
    report = engaged.pull(since=SENT_AT - timedelta(seconds=1))
    assert report.new == {COMMON: 1}
    assert all(engaged.cursors()[stream] >= at for stream, at in before.items())


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_between_load_and_cursor_repeats_and_adds_nothing(engaged: Engaged) -> None:
    expected = story(engaged)

    def loads_and_dies(settings: Settings, folder: Any) -> Any:
        load_pulled(settings, folder)
        raise Killed

    with pytest.raises(Killed):
        engaged.pull(load=loads_and_dies)
    assert engaged.rows() == expected
    assert engaged.cursors() == {}
    report = engaged.pull()
    assert (report.n_new, report.known) == (0, expected.total())
    assert engaged.rows() == expected
    assert engaged.cursors() != {}
    assert [row[0] for row in engaged.query("select status from ledger.engagement_pulls order by started_at, status")]
    assert not list((engaged.settings.home / "engagement").iterdir())


def test_a_kill_before_the_load_loses_nothing(engaged: Engaged) -> None:
    expected = story(engaged)
    for hours in (1, 46):  # further apart than the overlap: had the cursor moved, the first would never come again
        expected[engaged.plant(COMMON, f"p{hours}@shop.test", hours)] += 1

    def dies(settings: Settings, folder: Any) -> Any:
        raise Killed

    with pytest.raises(Killed):
        engaged.pull(load=dies)
    assert engaged.cursors() == {}
    assert engaged.pull().n_new == expected.total()
    assert engaged.rows() == expected


def test_throttled_it_waits_and_goes_on(engaged: Engaged) -> None:
    expected = story(engaged)
    engaged.twin.faults.add("429", skip=1, times=3)
    engaged.twin.faults.add("500", skip=4, times=1)
    engaged.pull()
    assert engaged.rows() == expected
    assert engaged.twin.store.counters()["throttled"] == 3


def test_where_it_breaks_off_what_was_read_is_kept(engaged: Engaged) -> None:
    expected = story(engaged)
    last = {"mailchimp": "email-activity", "klaviyo": "events", "sendgrid": "asm/suppressions", "hubspot": "events"}
    engaged.twin.faults.add("500", path=last[engaged.kind], skip={"klaviyo": 3, "hubspot": 3}.get(engaged.kind, 0),
                            times=-1)  # fmt: skip
    with pytest.raises(DestinationDown, match="run `mailwright pull` again"):
        engaged.pull()
    kept = engaged.rows()
    assert 0 < kept.total() < expected.total() or engaged.kind == "sendgrid"
    assert engaged.query("select status from ledger.engagement_pulls") == [("failed",)]
    engaged.twin.faults.clear()
    report = engaged.pull()
    assert report.n_new == expected.total() - kept.total()
    assert engaged.rows() == expected


def test_a_wrong_key_is_said_at_once(engaged: Engaged) -> None:
    target = engaged.destination(lambda _, answer: answer)
    engaged.twin.door.api_key = engaged.twin.door.token = "another"
    with pytest.raises(DestinationConfigError, match=r"not accept|lacks a right"):
        pulling.pull(engaged.settings, engaged.kind, load=load_pulled, destination=target)
    target.close()
    assert engaged.query("select count(*) from ledger.sync_leases") == [(0,)]


def test_nothing_happened(engaged: Engaged) -> None:
    def never(settings: Settings, folder: Any) -> Any:
        raise AssertionError("there is nothing to load")

    report = engaged.pull(load=never)
    assert (report.n_new, report.known, report.rejected) == (0, 0, {})
    assert engaged.pull(load=never).to_dict()["new"] == {}


def spoiled(kind: str) -> Any:
    """The first entry of each list that holds events is none."""
    names = {"mailchimp": "emails", "klaviyo": "data", "hubspot": "events"}

    def spoil(request: httpx.Request, answer: Any) -> Any:
        rows = answer if isinstance(answer, list) else answer.get(names.get(kind, ""), [])
        if rows and kind == "mailchimp":
            rows[0]["activity"][0]["timestamp"] = "yesterday ann@shop.test"
        elif rows and "metrics" not in request.url.path:
            rows[0] = "ann@shop.test"
        return answer

    return spoil


def test_a_malformed_item_is_put_aside_and_counted(engaged: Engaged) -> None:
    engaged.plant(COMMON, "ann@shop.test", 5)
    good = engaged.plant(COMMON, "bob@shop.test", 4)
    report = engaged.pull(spoiled(engaged.kind))
    assert sum(report.rejected.values()) == 1
    assert len(engaged.rows()) == 1
    assert "@" not in str(report.to_dict()["rejected"])
    assert engaged.pull().n_new == 1  # readable again
    assert good in engaged.rows()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two, whatever the vendor."""
    names = {"mailchimp": "page_size", "klaviyo": "events_page_size", "sendgrid": "suppression_page_size"}
    for kind in VENDORS:
        name = names.get(kind, "events_page_size")
        monkeypatch.setitem(limits._declared(kind), name, limits.Limit(2, "", limits.limits_of(kind)[name].read_on))


@pytest.mark.usefixtures("small_pages")
def test_what_arrives_between_two_pages_comes_once(engaged: Engaged) -> None:
    """At the vendors whose pages are positions it shifts the rest, so that entries are told twice."""
    expected = Counter(engaged.plant(COMMON, f"p{n}@shop.test", n) for n in range(7))
    arriving = iter(range(3))

    def spoil(request: httpx.Request, answer: Any) -> Any:
        if "p5@" in str(answer) or "p2@" in str(answer):
            for n in arriving:
                expected[engaged.plant(COMMON, f"late{n}@shop.test", 10 + n)] += 1
                break
        return answer

    engaged.pull(spoil)
    assert len(expected) >= 8
    engaged.pull()
    assert engaged.rows() == expected


def test_many_rows_are_loaded_in_parts_and_what_was_loaded_stays(
    engaged: Engaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "ROWS_PER_LOAD", 3)
    expected = story(engaged)
    done: list[int] = []

    def second_fails(settings: Settings, folder: Any) -> Any:
        if done:
            raise Killed
        done.append(1)
        return load_pulled(settings, folder)

    with pytest.raises(Killed):
        engaged.pull(load=second_fails)
    kept = engaged.rows()
    assert 0 < kept.total() < expected.total()
    assert engaged.pull().n_new == expected.total() - kept.total()
    assert engaged.rows() == expected
    assert len(engaged.query("select * from ops.loads")) > 1


def test_two_pulls_of_one_destination_are_impossible(engaged: Engaged, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(engaged.settings, purpose="test") as con:
        engaged.pull()
        held = lease.acquire(con, pulling.LEASE, engaged.destination().key, "another")
    with pytest.raises(LeaseHeld):
        engaged.pull()
    with connect(engaged.settings, purpose="test") as con:
        lease.release(con, held)
    engaged.pull()


def test_a_simulated_mailing_is_told_as_it_was_simulated(engaged: Engaged) -> None:
    """The same in every run; and who left is not mailed by the next one."""
    people = [f"p{n}@shop.test" for n in range(60)]
    for email in people:
        _subscribe(engaged, email)
    url = engaged.twin.url.removesuffix("/3.0").removesuffix("/api").removesuffix("/v3").rstrip("/")
    given = {"id": "m7", "at": f"{SENT_AT.isoformat()}+00:00", "seed": 3}
    answer = httpx.post(f"{url}/__twin__/campaign", json=given).json()
    assert (answer["simulated"], answer["recipients"]) == (True, 60)
    events = answer["events"]
    assert events == {"sent": 60, "delivered": 60, "open": events["open"], **events}
    engaged.pull()
    told = Counter(kind for kind, *_ in engaged.rows().elements())
    assert told == Counter({kind: n for kind, n in events.items() if kind in engaged.told})
    again = httpx.post(f"{url}/__twin__/campaign", json={**given, "id": "m8"}).json()
    left = {email for kind, email, _ in engaged.rows() if kind in {"unsubscribe", "complaint", "bounce"}}
    assert again["recipients"] == 60 - len(left)


def _subscribe(world: Engaged, email: str) -> None:
    if world.kind == "klaviyo":
        profile = world.twin.put(email)
        world.twin.store.put_in_list("KlDemo", profile.id)
    else:
        world.twin.put(email)


def test_another_schema_of_raw_tables_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.load.raw_schema", lambda _: "landing")
    with pytest.raises(ConfigError, match="landing"):
        load_pulled(settings, settings.home)


def test_a_name_is_a_sync(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        pulling.pull(settings, "nobody", load=load_pulled)
    assert set(TOLD) == set(ESP_KINDS) == set(VENDORS)


def test_dates_ahead_move_no_cursor(engaged: Engaged) -> None:
    """A clock that is wrong there would hide what follows."""
    engaged.plant(COMMON, "future@shop.test", 24 * 400)
    engaged.plant(COMMON, "ann@shop.test", 3)
    engaged.pull()
    assert max(engaged.cursors().values()) <= NOW
    engaged.plant(COMMON, "bob@shop.test", 4)
    assert engaged.pull().n_new == 1
    assert datetime(2027, 7, 6, 12) in {at for *_, at in engaged.rows()}


@pytest.mark.usefixtures("small_pages")
def test_a_kill_between_two_pages_loses_no_older_one(engaged: Engaged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the newest come first, the first page says nothing of how far back everything is read."""
    monkeypatch.setattr(pulling, "ROWS_PER_LOAD", 2)
    expected = Counter(engaged.plant(COMMON, f"p{n}@shop.test", 45 - 8 * n) for n in range(6))
    done: list[int] = []

    def second_fails(settings: Settings, folder: Any) -> Any:
        if done:
            raise Killed
        done.append(1)
        return load_pulled(settings, folder)

    with pytest.raises(Killed):
        engaged.pull(load=second_fails)
    engaged.pull()
    assert engaged.rows() == expected


def test_since_never_jumps_over_what_was_not_read(engaged: Engaged) -> None:
    engaged.plant(COMMON, "ann@shop.test", 1)
    engaged.pull()
    with pytest.raises(ConfigError, match="in the future"):
        engaged.pull(since=NOW + timedelta(days=400))
    engaged.now = NOW + timedelta(days=10)
    engaged.plant(COMMON, "bob@shop.test", 24 * 3)
    assert engaged.pull(since=NOW + timedelta(days=8)).new[COMMON] == 1
