"""What is one vendor's own in a pull of engagement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.load import load, load_pulled
from reverse_etl.destinations import hubspot_engagement, sendgrid_engagement
from reverse_etl.errors import DestinationConfigError
from reverse_etl.pull import pull
from reverse_etl.webhooks import to_jsonl
from reverse_etl.webhooks.rows import EmailEvent, NoRow
from tests.reverse_etl import hubspot_world, webhook_support
from tests.reverse_etl.engagement_world import NOW, SENT_AT, Engaged
from tests.reverse_etl.engagement_world import engaged as engaged_world
from tests.reverse_etl.hubspot_world import fake_hubspot
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

Of = Callable[[str], Any]


@pytest.fixture
def vendor(
    settings: Settings, tmp_path: Path, engagement_transport: Callable[[str], httpx.BaseTransport]
) -> Callable[[str], Any]:
    @contextmanager
    def of(kind: str) -> Iterator[Engaged]:
        state = tmp_path / f"{kind}.sqlite"
        with engaged_world(kind, settings, state, engagement_transport(kind)) as world, connect(settings):
            yield world

    return of


def paths(world: Engaged) -> list[str]:
    return [path for _, path, _, _ in getattr(world.transport, "log", [])]


# --- Klaviyo


def test_an_event_that_a_webhook_told_is_known_to_the_pull(vendor: Of, tmp_path: Path) -> None:
    """Klaviyo's events have one id, whichever way they come."""
    with vendor("klaviyo") as world:
        _, email, at = world.plant("open", "ann@shop.test", 3)
        world.plant("open", "bob@shop.test", 4)
        event = world.mail.events("open")[0]
        item = webhook_support.klaviyo_event("opened_email", event.id[:22], email_address=email)
        item["payload"]["data"]["attributes"]["timestamp"] = webhook_support.epoch(at)
        batch = webhook_support.delivery("klaviyo", [item]).read()
        folder = tmp_path / "in" / "email_events"
        folder.mkdir(parents=True)
        (folder / "called_back.jsonl").write_text(to_jsonl(batch.email_events), encoding="utf-8")
        load(world.settings, tmp_path / "in")
        report = world.pull()
        assert (report.new, report.known) == ({"open": 1}, 1)
        assert set(world.rows().values()) == {1}
        assert sum(world.rows().values()) == 2


def test_who_has_no_address_counts_for_nobody(vendor: Of) -> None:
    """The event's address, else the profile's; an event of a profile without any is counted."""
    with vendor("klaviyo") as world:
        world.twin.put("ann@shop.test")
        world.plant("open", "ann@shop.test", 3, no_address=True)
        world.plant("open", "gone@shop.test", 3, no_address=True)
        report = world.pull()
        assert (report.n_new, report.unaddressed) == (1, 1)
        assert {email for _, email, _ in world.rows()} == {"ann@shop.test"}


def test_a_subscription_there_is_a_claim(vendor: Of) -> None:
    with vendor("klaviyo") as world:
        world.plant("subscribe", "ann@shop.test", 3)
        world.plant("order", "ann@shop.test", 3)  # a shop's metric is none of ours
        report = world.pull()
        assert report.new == {"consent claim": 1}
        assert world.query("select email, source, state from raw.consent_events") == [
            ("ann@shop.test", "esp", "granted")
        ]
        assert world.pull().n_new == 0


# --- Mailchimp


def test_mailings_of_another_audience_and_old_ones_are_not_asked(vendor: Of) -> None:
    with vendor("mailchimp") as world:
        world.mail.send("other", SENT_AT, audience="another")
        world.mail.plant("open", "ann@shop.test", SENT_AT, mailing="other")
        world.mail.send("old", NOW - timedelta(days=200))
        world.plant("open", "ann@shop.test", 3)
        assert world.pull().new == {"open": 1}
        asked = Counter(path.split("/")[3] for path in paths(world) if "/email-activity" in path)
        assert asked == {"m1": 1, "old": 1}
        world.pull()
        asked = Counter(path.split("/")[3] for path in paths(world) if "/email-activity" in path)
        assert asked == {"m1": 2, "old": 1}


def test_who_was_sent_it_is_asked_once_when_all_have_it(vendor: Of) -> None:
    with vendor("mailchimp") as world:
        for n in range(3):
            world.plant("sent", f"p{n}@shop.test", 0)
        world.now = SENT_AT + timedelta(hours=23)
        assert world.pull().n_new == 0
        world.now = NOW
        assert world.pull().new == {"sent": 3}
        world.pull()
        assert sum("/sent-to" in path for path in paths(world)) == 1
        assert world.pull(since=SENT_AT - timedelta(hours=1)).n_new == 0
        assert sum("/sent-to" in path for path in paths(world)) == 2
        assert {at for *_, at in world.rows()} == {SENT_AT}


def test_opens_in_one_second_are_one_and_links_are_told_apart(vendor: Of) -> None:
    with vendor("mailchimp") as world:
        for url in ("https://shop.test/a", "https://shop.test/a", "https://shop.test/b"):
            world.plant("click", "ann@shop.test", 3, url=url, ip="192.0.2.1")
        world.pull()
        found = world.query("select link_url, ip, campaign_id from raw.email_events order by 1")
        assert found == [(f"https://shop.test/{name}", "192.0.2.1", "m1") for name in "ab"]


# --- SendGrid


def test_blocks_are_soft_and_a_group_that_was_left_ends_all(vendor: Of) -> None:
    with vendor("sendgrid") as world:
        world.plant("bounce", "hard@shop.test", 1)
        world.plant("bounce", "soft@shop.test", 2, type="soft")
        world.plant("unsubscribe", "group@shop.test", 3, group=10)
        world.twin.store.suppress("invalid_emails", "never@shop.test")
        world.pull()
        assert world.query("select email, event, bounce_type from raw.email_events order by 1") == [
            ("group@shop.test", "unsubscribe", None),
            ("hard@shop.test", "bounce", "hard"),
            ("soft@shop.test", "bounce", "soft"),
        ]


def test_a_reason_that_is_worded_anew_is_the_same_entry() -> None:
    def row(**more: Any) -> Any:
        entry = {"created": 1780272000, "email": "Ann@shop.test", "reason": "550", **more}
        return sendgrid_engagement._read(entry, "created", {"event": "bounce", "type": "bounce"}, "bounces", NOW)

    assert row() == row(reason="550 5.1.1", created=1780272000.0, email="ann@shop.test")
    assert row() != row(created=1780272001)


# --- HubSpot


def hubspot_row(**changes: Any) -> Any:
    given = {"id": "e1", "created": 1780272000000, "type": "OPEN", "recipient": "ann@shop.test", **changes}
    return hubspot_engagement._read(given, NOW)


@pytest.mark.parametrize(
    ("item", "event"),
    [
        ({"type": "STATUSCHANGE", "portalSubscriptionStatus": "UNSUBSCRIBED"}, "unsubscribe"),
        ({"type": "STATUSCHANGE", "portalSubscriptionStatus": "SUBSCRIBED"}, None),
        ({"type": "STATUSCHANGE", "subscriptions": [{"id": 7, "status": "UNSUBSCRIBED"}]}, "unsubscribe"),
        ({"type": "STATUSCHANGE", "subscriptions": [{"id": 7, "status": "SUBSCRIBED"}]}, None),
        ({"type": "STATUSCHANGE", "subscriptions": "odd"}, None),
        ({"type": "STATUSCHANGE"}, None),
        ({"type": "DROPPED"}, None),
        ({"type": "SPAMREPORT"}, "complaint"),
    ],
)
def test_what_a_hubspot_event_becomes(item: dict[str, Any], event: str | None) -> None:
    found = hubspot_row(**item)
    assert isinstance(found, NoRow) if event is None else found.event == event


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"category": "UNKNOWN_USER"}, "hard"),
        ({"status": "5.1.1", "category": "OTHER"}, "hard"),
        ({"status": "5.7.1", "category": "SPAM"}, None),
        ({"status": "4.2.2"}, "soft"),
        ({}, None),
    ],
)
def test_a_bounce_is_hard_if_the_address_is_said_not_to_exist(item: dict[str, Any], kind: str | None) -> None:
    assert hubspot_row(type="BOUNCE", **item).bounce_type == kind


def test_a_filtered_open_is_flagged_and_tied_to_its_message(vendor: Of) -> None:
    with vendor("hubspot") as world:
        world.plant("sent", "ann@shop.test", 0)
        world.plant("open", "ann@shop.test", 1, is_machine=True, ip="192.0.2.1", user_agent="Bot")
        world.plant("renewal", "ann@shop.test", 2)
        report = world.pull()
        assert report.without_row == {"STATUSCHANGE that ends nothing": 1}
        rows = world.query(
            """select event, message_id, is_provider_flagged_machine, ip, user_agent, campaign_id
               from raw.email_events order by 1"""
        )
        own = rows[1][1]
        assert rows == [("open", own, True, "192.0.2.1", "Bot", "m1"), ("sent", own, None, None, None, "m1")]


def test_a_token_without_the_scope_is_told_which_one(settings: Settings) -> None:
    target = fake_hubspot(lambda _: httpx.Response(403, json={"message": "x", "category": "MISSING_SCOPES"}))
    with pytest.raises(DestinationConfigError, match="`content`"):
        pull(settings, "hubspot", load=load_pulled, destination=target)


def test_an_offset_that_does_not_move_ends_the_reading(settings: Settings) -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("offset"))
        return httpx.Response(200, json={"hasMore": True, "offset": "same", "events": []})

    pull(settings, "hubspot", load=load_pulled, destination=fake_hubspot(answer))
    assert asked == [None, "same"] * len(hubspot_engagement.TYPES)


# --- the process ends

RUN = """
import sys
from datetime import datetime
from pathlib import Path
from ingest.load import load_pulled
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.pull import pull
from warehouse.settings import Settings

home, url, token = sys.argv[1:]
settings = Settings(home=Path(home), target="prod", lock_timeout_seconds=30)
pull(settings, "hubspot", load=load_pulled, destination=HubSpot(token, "1", base_url=url))
"""


@pytest.mark.parametrize("failpoint", ["pull.before_load", "pull.after_load", "load.before_commit"])
def test_sigkill(settings: Settings, tmp_path: Path, failpoint: str) -> None:
    with engaged_world("hubspot", settings, tmp_path / "twin.sqlite", httpx.HTTPTransport()) as world:
        expected = Counter(world.plant("open", f"p{n}@shop.test", n) for n in range(5))
        command = [sys.executable, "-c", RUN, str(settings.home), world.twin.url, hubspot_world.TOKEN]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "MAILWRIGHT_FAILPOINT": failpoint}
        killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert world.cursors() == {}
        report = world.pull()  # the lease of the dead one is taken over
        assert report.n_new == (0 if failpoint == "pull.after_load" else 5)
        assert world.rows() == expected
        assert world.pull().n_new == 0


# --- nothing personal where it does not belong


def test_reports_and_ledger_hold_no_address(vendor: Of) -> None:
    with vendor("hubspot") as world:
        world.plant("open", "ann@shop.test", 1)
        world.plant("unsubscribe", "ann@shop.test", 2)

        def spoil(_: httpx.Request, answer: Any) -> Any:
            for event in answer["events"]:
                event["type"] = "FORWARD ann@shop.test" if event["type"] == "OPEN" else event["type"]
            return answer

        report = world.pull(spoil)
        assert report.without_row == {"FORWARD <address>": 1}
        kept = world.query("select * from ledger.engagement_pulls") + world.query(
            "select * from ledger.engagement_cursors"
        )
        assert "@" not in json.dumps([report.to_dict(), *map(str, kept)])
        assert isinstance(hubspot_row(), EmailEvent)
        assert hubspot_row(created=None, type="SPAMREPORT").occurred_at == NOW
        assert hubspot_row(created=1780272000000).occurred_at == datetime(2026, 6, 1)
