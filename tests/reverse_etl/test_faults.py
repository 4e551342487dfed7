"""Things go wrong at the destination: one clear error, the ledger intact, and the next run converges."""

from __future__ import annotations

import base64
import logging

import pytest

from reverse_etl import runner
from reverse_etl.connect import make_destination
from reverse_etl.destination import Record
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, without_secrets
from reverse_etl.runner import sync
from tests.reverse_etl.world import API_KEY, Person, World, open_gate, small_declaration
from warehouse.errors import ConfigError, MailwrightError

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(6)]


def _converged(world: World) -> None:
    report = world.sync()
    assert report.is_complete
    assert {world.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    assert len(world.twin.inside("mw:vip")) == len(PEOPLE)
    assert world.sync().writes == 0
    _ledger_folds(world)


def _ledger_folds(world: World) -> None:
    columns = (
        "object, record_key, state, confirmed_hash, confirmed_at, confirmed_version, confirmed_number, create_number, "
        "sent_hash, sent_version, rejected_class, is_doubtful"
    )
    stored = world.rows(f"select {columns} from ledger.sync_state order by all")
    folded = world.rows(f"select {columns} from ledger.sync_state_from_attempts order by all")
    assert stored == folded


@pytest.mark.parametrize("kind", ["429", "403", "500", "close_before"])
def test_storms_pass(world: World, kind: str) -> None:
    """Two refusals for each request, in whatever form; the pauses are counted, not slept."""
    world.desire(*PEOPLE)
    world.twin.faults.add(kind, times=2)  # pyright: ignore[reportArgumentType]
    world.twin.faults.add(kind, times=2, method="GET", path="members$")  # pyright: ignore[reportArgumentType]
    world.twin.faults.add(kind, times=2, path="segments/")  # pyright: ignore[reportArgumentType]
    report = world.sync()
    assert report.created == 6
    assert len(world.naps) == 6
    assert world.naps[0] < world.naps[1]
    assert report.throttled == (6 if kind in {"429", "403"} else 0)
    _converged(world)


def test_an_endless_storm_is_one_error(world: World) -> None:
    world.desire(*PEOPLE)
    world.twin.faults.add("403", times=-1)
    with pytest.raises(DestinationDown, match="throttling") as caught:
        world.sync()
    assert caught.value.exit_code == 5
    assert len(world.naps) == 7
    assert max(world.naps) <= 61
    world.twin.faults.clear()
    assert world.rows("select status, message from ledger.sync_runs") == [
        ("failed", "The destination is throttling (403).")
    ]
    _converged(world)


def test_a_storm_in_the_middle_loses_nothing(world: World) -> None:
    world.desire(*PEOPLE)
    world.twin.faults.add("429", times=-1, path="segments/")
    with pytest.raises(DestinationDown):
        world.sync()
    assert world.rows("select distinct state from ledger.sync_state where object = 'member'") == [("confirmed",)]
    assert world.rows("select distinct state, rejected_class from ledger.sync_state where object <> 'member'") == [
        ("rejected", "retryable")
    ]
    world.twin.faults.clear()
    _converged(world)


@pytest.mark.parametrize("kind", ["close_after", "hang"])
@pytest.mark.parametrize("path", ["lists/[a-z]+$", "segments/"])
def test_an_answer_that_never_comes_is_cleared_up_in_the_same_run(world: World, kind: str, path: str) -> None:
    """The request took effect. An update is repeated; a create is looked up, and becomes an update."""
    world.timeout = 0.5
    world.desire(*PEOPLE)
    world.twin.faults.add(kind, times=1, method="POST", path=path)  # pyright: ignore[reportArgumentType]
    report = world.sync()
    assert report.is_complete
    assert report.in_doubt == 0
    assert report.passes == (2 if path.endswith("$") else 1)
    _converged(world)


def test_silence_to_the_end_is_one_error_and_in_doubt(world: World) -> None:
    world.desire(*PEOPLE)
    world.twin.faults.add("close_after", times=-1, method="POST", path="lists/[a-z]+$")
    report = world.sync()  # the creates took effect; as updates they are repeated, and never answered
    assert not report.is_complete
    assert report.in_doubt == 6
    assert world.rows("select distinct state, is_doubtful from ledger.sync_state where object = 'member'") == [
        ("in_doubt", True)
    ]
    _ledger_folds(world)
    world.twin.faults.clear()
    _converged(world)


def test_in_doubt_is_not_taken_for_the_old_state(world: World) -> None:
    """Confirmed A, B in doubt, desired A again: A must be sent, since B may be there."""
    world.desire(*PEOPLE)
    world.sync()
    changed = [Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE]
    world.desire(*changed)
    world.twin.faults.add("close_after", times=-1, method="POST", path="lists/[a-z]+$")
    assert world.sync().in_doubt == 6
    world.twin.faults.clear()
    world.desire(*PEOPLE)
    assert world.sync().updated == 6
    found = [world.twin.member(p.email) for p in PEOPLE]
    assert {m.merge_fields["MW_CITY"] for m in found if m} == {"A"}


def test_a_rejection_does_not_end_an_older_doubt(world: World) -> None:
    """Confirmed A, B in doubt, C rejected, desired A again: B may still be there."""
    small_declaration(world.settings)
    world.sync_name = "small"

    def wish(city: str) -> None:
        world.desire(Person("p@shop.test", "subscribe", (), {"city": city}))

    wish("A")
    world.sync()
    wish("B")
    world.twin.faults.add("close_after", times=-1, method="POST", path="lists/[a-z]+$")
    assert world.sync().in_doubt == 1
    world.twin.faults.clear()
    wish("C" * 300)
    assert world.sync().rejected == {"data": 1}
    _ledger_folds(world)
    wish("A")
    assert world.sync().updated == 1
    found = world.twin.member("p@shop.test")
    assert found is not None
    assert found.merge_fields["MW_CITY"] == "A"


def test_a_throttled_repetition_after_silence_stays_in_doubt(world: World) -> None:
    """Silence, then throttled to the end: the first one may have taken effect."""
    world.twin.put("p@shop.test")
    world.twin.faults.add("close_after", times=1, method="POST")
    world.twin.faults.add("429", times=-1, method="POST")
    target = world.destination()
    outcome = target.upsert("update", [Record("k", "p@shop.test")])
    target.close()
    assert outcome.of("k").kind == "in_doubt"
    assert isinstance(outcome.stop, NoAnswer)


def test_wrong_key(world: World) -> None:
    world.desire(*PEOPLE)
    secret = "wrongwrongwrongwrongwrongwrong12-us0"
    with pytest.raises(DestinationConfigError, match="does not accept the API key") as caught:
        world.sync(destination=world.destination(api_key=secret))
    assert caught.value.exit_code == 2
    assert secret not in str(caught.value)
    assert world.rows("select count(*) from ledger.sync_attempts") == [(0,)]
    _converged(world)


def test_unknown_list(world: World) -> None:
    world.desire(*PEOPLE)
    with pytest.raises(DestinationConfigError, match="does not know this audience"):
        world.sync(destination=world.destination(list_id="other"))
    _converged(world)


def test_key_revoked_half_way(world: World) -> None:
    world.desire(*PEOPLE)
    apply = runner._send
    world.twin.door.api_key = API_KEY

    def revoke(destination: object, batch: object) -> object:
        if batch.segment_id is not None:  # pyright: ignore[reportAttributeAccessIssue]
            world.twin.door.api_key = "another"
        return apply(destination, batch)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_send", revoke)
        with pytest.raises(DestinationConfigError, match="API key"):
            world.sync()
    world.twin.door.api_key = API_KEY
    _converged(world)


def test_destination_is_down(world: World) -> None:
    world.desire(*PEOPLE)
    world.twin.url = "http://127.0.0.1:9/3.0"
    with pytest.raises(DestinationDown, match="cannot be reached") as caught:
        world.sync()
    assert "What to do" in str(caught.value)
    assert len(world.naps) == 3


def test_unknown_destination_and_missing_credentials(world: World) -> None:
    small_declaration(world.settings, destination="mailchmip")
    world.desire(*PEOPLE)
    with pytest.raises(ConfigError, match="Unknown destination 'mailchmip'"):
        sync(world.settings, "small", gate=open_gate)
    with pytest.raises(DestinationConfigError, match="MAILCHIMP_API_KEY and MAILCHIMP_LIST_ID not set"):
        make_destination("mailchimp", {})
    with pytest.raises(DestinationConfigError, match="data centre"):
        make_destination("mailchimp", {"MAILCHIMP_API_KEY": "abc", "MAILCHIMP_LIST_ID": "abc"})
    with pytest.raises(DestinationConfigError, match="audience id"):
        make_destination("mailchimp", {"MAILCHIMP_API_KEY": "abc-us1", "MAILCHIMP_LIST_ID": "../x"})


def test_one_bad_record_costs_nobody_else(world: World) -> None:
    bad = Person("bad@shop.invalid", "subscribe", ("vip",))
    world.desire(*PEOPLE, bad)
    report = world.sync()
    assert (report.created, report.rejected) == (6, {"data": 1})
    again = world.sync()
    assert (again.writes, again.held) == (0, {"data": 1})
    world.desire(*PEOPLE, Person("bad@shop.invalid", "subscribe", ("vip",), {"city": "new"}))
    assert world.sync().rejected == {"data": 1}  # the content changed: tried once more
    assert world.sync().writes == 0


def test_messages_hold_no_secret_and_no_address() -> None:
    text = without_secrets("key abc-us1 for <ann@shop.test>, 'bo+x@shop.test'\n again", ("abc-us1",))
    assert text == "key <secret> for <<address>>, '<address>' again"


def test_errors_are_never_bare(world: World) -> None:
    """Whatever a fault is, a run ends with an error that a user can act on, and the run is in the ledger."""
    world.desire(*PEOPLE)
    world.twin.faults.add("500", times=-1)
    with pytest.raises(MailwrightError, match="failed with status 500"):
        world.sync()
    assert world.rows("select status from ledger.sync_runs") == [("failed",)]
    assert world.rows("select count(*) from ledger.sync_leases") == [(0,)]


def test_logs_and_ledger_hold_no_secret_and_no_address(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, through a run with refusals of every kind; the ledger's messages likewise."""
    caplog.set_level(logging.DEBUG)
    world.desire(*PEOPLE, Person("bad@shop.invalid", "subscribe", ("vip",)))
    world.twin.faults.add("429")
    world.twin.faults.add("close_after", method="POST", path="lists/[a-z]+$")
    world.sync()
    token = base64.b64encode(f"mailwright:{API_KEY}".encode()).decode()
    messages = [str(row) for row in world.rows("select message from ledger.sync_attempts where message is not null")]
    reports = [str(row) for row in world.rows("select report, message from ledger.sync_runs")]
    plans = [str(row) for row in world.rows("select counts from ledger.sync_plans")]
    assert messages
    for text in [record.getMessage() for record in caplog.records] + messages + reports + plans:
        assert API_KEY not in text
        assert token not in text
        assert "@shop" not in text
