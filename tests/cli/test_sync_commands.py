"""`mailwright sync`: the word after it is a sync, or what is to be done about records that did not go through."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.cli.conftest import Outcome
from tests.reverse_etl.events_world import EVENTS, LATER, Happening, write_events
from tests.reverse_etl.world import API_KEY, Person, TwinServer, World, hash_of, small_declaration
from warehouse.connection import connect
from warehouse.settings import Settings

Call = Callable[..., Outcome]
GOOD = Person("good@shop.test", "subscribe", ("vip",), {"city": "A"})
FAKE = Person("fake@shop.invalid", "subscribe", (), {"city": "A"})
SVG = "http://www.w3.org/2000/svg"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A home with a synced person and one whom the ESP refused; the ESP is a twin that the environment points at."""
    settings = Settings(home=tmp_path / "home", target="prod", lock_timeout_seconds=30)
    settings.home.mkdir()
    with TwinServer(tmp_path / "twin.sqlite") as twin:
        with connect(settings, purpose="test"):
            pass
        small_declaration(settings)
        world = World(settings, twin, sync_name="small")
        world.desire(GOOD, FAKE)
        assert world.sync().rejected == {"data": 1}
        for name, value in (("API_KEY", API_KEY), ("LIST_ID", DEFAULT_LIST), ("BASE_URL", twin.url)):
            monkeypatch.setenv(f"MAILCHIMP_{name}", value)
        yield world


def test_a_sync_needs_no_verb(mailwright: Call) -> None:
    for args in (
        ["sync", "nosuch"],
        ["sync", "run", "nosuch"],
        ["sync", "rejected", "nosuch"],
        ["sync", "retry", "nosuch"],
    ):
        outcome = mailwright("--target", "prod", *args)
        assert (outcome.code, "There is no sync 'nosuch'" in outcome.stderr) == (2, True), args


def test_rejected_retry_and_skip(mailwright: Call, shop: World) -> None:
    key = hash_of(FAKE.email)
    listed = mailwright("--target", "prod", "sync", "rejected")
    assert key in listed.stdout
    assert "looks fake" in listed.stdout.replace("\n", " ")
    assert "shop.invalid" not in listed.stdout
    records = mailwright("--target", "prod", "sync", "rejected", "small", "--json").document["records"]
    assert [(row["subscriber_hash"], row["rejected_class"]) for row in records] == [(key, "data")]
    assert mailwright("--target", "prod", "sync", "retry", "small", "--class", "consent", "--json").document == {
        "records": 0
    }
    for person in (FAKE.email.upper(), key):
        done = mailwright("--target", "prod", "sync", "skip", "small", "--person", person, "--reason", "x", "--json")
        assert done.document == {"records": 1}
        done = mailwright("--target", "prod", "sync", "retry", "small", "--person", person, "--json")
        assert done.document == {"records": 1}
        assert shop.sync().rejected == {"data": 1}
    assert mailwright("--target", "prod", "sync", "skip", "small", "--reason", "x").code == 2
    assert mailwright("--target", "prod", "sync", "skip", "small", "--class", "wrong", "--reason", "x").code == 2


def test_a_plan_is_saved_shown_and_applied(mailwright: Call, shop: World, tmp_path: Path) -> None:
    shop.desire(Person(GOOD.email, "subscribe", (), {"city": "B"}), FAKE)
    file = tmp_path / "plan.json"
    shown = mailwright("--target", "prod", "plan", "small", "--sample", "5", "--out", file)
    assert shown.code == 0, shown.stderr
    for text in (hash_of(GOOD.email), "MW_CITY", "mw:vip"):
        assert text in shown.stdout
    document = mailwright("--target", "prod", "plan", "small", "--sample", "1", "--json").document
    assert document["sample"][0]["changes"] == {"MW_CITY": ["A", "B"]}
    assert document["items_fingerprint"] == json.loads(file.read_text())["items_fingerprint"]
    # nothing was checked here, so that a sync is refused; a file that is no plan is refused before
    assert mailwright("--target", "prod", "sync", "small", "--plan", file).code == 4
    file.write_text("{}")
    outcome = mailwright("--target", "prod", "sync", "small", "--plan", file)
    assert (outcome.code, "no plan" in outcome.stderr) == (2, True)


def test_a_plan_is_drawn_for_whoever_has_no_terminal(mailwright: Call, shop: World, tmp_path: Path) -> None:
    """The same as on the screen; as text alone, without an address, and with nothing to be fetched."""
    city, picture = "<b>B</b> [bold]C[/bold]", tmp_path / "plan.svg"
    shop.desire(Person(GOOD.email, "subscribe", ("cart",), {"city": city, "first_name": "ann@shop.test"}), FAKE)
    drawn = mailwright("--target", "prod", "plan", "small", "--sample", "5", "--picture", picture)
    assert drawn.code == 0, drawn.stderr
    text = picture.read_text(encoding="utf-8")
    elements = ElementTree.fromstring(text).iter(f"{{{SVG}}}text")
    in_picture = " ".join(" ".join("".join(element.itertext()) for element in elements).split())
    for line in ("1 people updated", "mw:cart 1 0", hash_of(GOOD.email) + " updated", "MW_CITY A " + city):
        assert line in in_picture
        assert line in " ".join(drawn.stdout.split())
    assert "FNAME there [address]" in in_picture
    assert "shop.test" not in text
    assert re.findall(r"https?:[^\"]*", text) == [SVG]
    assert not any(word in text for word in ("@font-face", "@import", "href", "<image", "<script"))
    refused = mailwright("--target", "prod", "plan", "small", "--picture", tmp_path / "none" / "plan.svg")
    assert (refused.code, "cannot be written" in refused.stderr) == (2, True)


def test_events_are_shown(mailwright: Call, shop: World) -> None:
    """What would be sent, what is not and why; what went out; and what nobody knows about, by person and event."""
    small_declaration(shop.settings, events=EVENTS)
    write_events(shop.settings)
    shop.sync()
    shop.desire(GOOD, FAKE, as_of=LATER)
    write_events(shop.settings, [Happening(GOOD.email), Happening(FAKE.email)])
    shown = mailwright("--target", "prod", "plan", "small").stdout
    assert "1 events" in " ".join(shown.split())
    assert "events blocked 1: not a member" in shown
    document = mailwright("--target", "prod", "plan", "small", "--json").document
    assert (document["events"], document["events_blocked"]) == (1, {"not_a_member": 1})
    shop.twin.faults.add("close_after", method="POST", path="/events")
    shop.sync()
    document = mailwright("--target", "prod", "plan", "small", "--json").document
    assert document["held"] == {"data": 1, "in_doubt": 1}
    rows = mailwright("--target", "prod", "sync", "rejected", "small", "--json").document["records"]
    assert [(row["object"], row["event_name"], row["state"]) for row in rows if row["object"] == "event"] == [
        ("event", "entered_segment", "in_doubt")
    ]
    assert "entered_segment" in mailwright("--target", "prod", "sync", "rejected").stdout
    with connect(shop.settings, purpose="test") as con:
        con.execute("drop table ledger.outbox")  # as in a warehouse from before events
    assert len(mailwright("--target", "prod", "sync", "rejected", "--json").document["records"]) == 2


def test_audit_and_rebaseline(mailwright: Call, shop: World) -> None:
    shop.twin.put(GOOD.email, MW_CITY="typed over", FNAME="there")
    found = mailwright("--target", "prod", "sync", "audit", "small", "--json").document
    assert (found["n_checked"], found["drifts"]) == (1, {"field MW_CITY": 1})
    outcome = mailwright("--target", "prod", "sync", "audit", "small", "--all", "--repair")
    assert "1 records are sent again" in outcome.stdout
    writes = shop.twin.writes
    assert mailwright("--target", "prod", "sync", "rebaseline", "small", "--json").document == {"records": 1}
    assert shop.twin.writes == writes
    assert shop.plan().is_empty


def test_a_new_sync_is_declared_from_model_and_esp(mailwright: Call, shop: World) -> None:
    shown = mailwright("--target", "prod", "sync", "new", "mine", "--destination", "mailchimp", "--dry-run")
    path = shop.settings.home / "syncs" / "mine.yml"
    assert (shown.code, path.exists()) == (0, False)
    assert '  - {column: first_name, field: "FNAME"' in shown.stdout
    made = mailwright("--target", "prod", "sync", "new", "mine", "--destination", "mailchimp", "--json").document
    assert (made["sync"], made["path"]) == ("mine", str(path))
    assert path.read_text() == made["text"] == shown.stdout
    assert {"column": "first_name", "field": "FNAME", "is_there": True} in made["fields"]
    planned = mailwright("--target", "prod", "plan", "mine", "--json").document
    assert planned["n_source"] == 2
    again = mailwright("--target", "prod", "sync", "new", "mine", "--destination", "mailchimp")
    assert (again.code, "such a sync already" in again.stderr) == (4, True)


def test_a_new_sync_without_credentials_or_kind(mailwright: Call, shop: World) -> None:
    nobody = mailwright("--target", "prod", "sync", "new", "klaviyo")
    assert (nobody.code, "KLAVIYO_API_KEY and KLAVIYO_LIST_ID" in nobody.stderr) == (2, True)
    unknown = mailwright("--target", "prod", "sync", "new", "braze")
    assert (unknown.code, "Unknown destination 'braze'" in unknown.stderr) == (2, True)
    assert [path.name for path in (shop.settings.home / "syncs").iterdir()] == ["small.yml"]


def test_one_sync_needs_no_name_and_several_do(
    mailwright: Call, shop: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    which = mailwright("--target", "prod", "plan")
    assert (which.code, "name one of: mailchimp, small" in which.stderr) == (2, True)
    saved = tmp_path / "plan.json"
    assert mailwright("--target", "prod", "plan", "small", "--out", str(saved)).code == 0
    monkeypatch.setenv("MAILWRIGHT_SYNCS", "none")
    assert mailwright("--target", "prod", "plan", "--json").document["sync_name"] == "small"
    monkeypatch.setenv("MAILWRIGHT_SYNCS", "mailchimp")
    applied = mailwright("--target", "prod", "sync", "--plan", str(saved), "--dry-run")
    assert applied.code == 4, "the plan names its sync, which no check has passed"
    assert "name one of" not in applied.stderr


def test_status_tells_what_the_esp_turned_away(mailwright: Call, shop: World) -> None:
    told = mailwright("--target", "prod", "status", "--json").document["tables"]["rejected"]
    assert [(row["sync_name"], row["rejected_class"], row["records"]) for row in told] == [("small", "data", 1)]
    assert "looks fake" in told[0]["message"]
    shown = mailwright("--target", "prod", "status").stdout
    assert "looks fake" in shown.replace("\n", " ")
    assert "shop.invalid" not in shown
