"""What a person decides about records that did not go through, and a run that is asked to end."""

from __future__ import annotations

import os
import signal
from datetime import datetime

import pytest

from reverse_etl import sending
from reverse_etl.audit import audit
from reverse_etl.context import stopping
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.errors import LeaseHeld, RejectedClass, Stopped
from reverse_etl.repair import rebaseline, rejected, retry, skip
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import Person, World, hash_of, small_declaration
from warehouse.errors import ConfigError

GOOD = Person("good@shop.test", "subscribe", (), {"city": "A"})
FAKE = Person("fake@shop.invalid", "subscribe", (), {"city": "A"})


@pytest.fixture
def stuck(world: World) -> World:
    """One confirmed, one rejected for good."""
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(GOOD, FAKE)
    assert world.sync().rejected == {"data": 1}
    return world


def test_what_was_rejected_is_shown_without_its_address(stuck: World) -> None:
    from warehouse.connection import connect

    with connect(stuck.settings) as con:
        rows = rejected(con, "small")
    assert [(row["subscriber_hash"], row["state"], row["rejected_class"]) for row in rows] == [
        (hash_of(FAKE.email), "rejected", "data")
    ]
    assert "looks fake" in str(rows[0]["message"])
    assert "@" not in str(rows)


def test_retry_sends_once_more(stuck: World) -> None:
    assert stuck.plan().held == {"data": 1}
    assert retry(stuck.settings, "small", classes=[RejectedClass.CONSENT]) == 0
    assert retry(stuck.settings, "small", people=[hash_of(GOOD.email)]) == 0
    assert retry(stuck.settings, "small", classes=[RejectedClass.DATA], people=[hash_of(FAKE.email)]) == 1
    assert stuck.plan().held == {}
    assert stuck.sync().rejected == {"data": 1}
    assert stuck.sync().writes == 0
    assert retry(stuck.settings, "small") == 1
    check_folds(stuck.rows)


def test_skipped_stays_until_it_changes(stuck: World) -> None:
    reason = "she@shop.test called: wrong address"
    assert skip(stuck.settings, "small", reason, people=[hash_of(FAKE.email)]) == 1
    assert stuck.plan().held == {"skipped": 1}
    assert stuck.sync().writes == 0
    assert stuck.rows("select message from ledger.sync_state where state = 'skipped'") == [
        ("<address> called: wrong address",)
    ]
    check_folds(stuck.rows)
    stuck.desire(GOOD, Person(FAKE.email, "subscribe", (), {"city": "B"}))
    assert stuck.sync().rejected == {"data": 1}
    assert skip(stuck.settings, "small", "again", classes=[RejectedClass.DATA]) == 1
    assert retry(stuck.settings, "small") == 1
    assert stuck.sync().rejected == {"data": 1}
    check_folds(stuck.rows)


def test_in_doubt_may_be_skipped_and_the_end_of_a_subscription_may_not(world: World) -> None:
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(GOOD)
    world.sync()
    world.desire(Person(GOOD.email, "unsubscribe"))
    world.twin.faults.add("close_before", times=-1, method="POST", path="lists/[a-z]+$")
    assert world.sync().in_doubt == 1
    assert world.rows("select state, sent_hash from ledger.sync_state") == [("in_doubt", "lowered")]
    assert skip(world.settings, "small", "leave it", people=[hash_of(GOOD.email)]) == 0
    world.twin.faults.clear()
    assert world.sync().lowered == 1


@pytest.mark.parametrize(("reason", "people"), [(" ", ["a"]), ("why", [])])
def test_skipping_needs_a_reason_and_a_name(stuck: World, reason: str, people: list[str]) -> None:
    with pytest.raises(ConfigError):
        skip(stuck.settings, "small", reason, people=people)


def test_no_decision_while_a_run_is_under_way(stuck: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def decide(name: str) -> None:
        if name == "sync.before_send":
            with pytest.raises(LeaseHeld) as caught:
                retry(stuck.settings, "small")
            refused.append(caught.value.what)

    monkeypatch.setattr(sending, "failpoint", decide)
    stuck.desire(Person(GOOD.email, "subscribe", (), {"city": "B"}), FAKE)
    assert stuck.sync().updated == 1
    assert refused


def test_a_lost_ledger_is_taken_as_given(world: World) -> None:
    """Everything is there already; who is not there, and who withdrew, is still a difference."""
    small_declaration(world.settings)
    world.sync_name = "small"
    people = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(3)]
    world.desire(*people)
    world.sync()
    for table in ("sync_attempts", "sync_state"):
        world.rows(f"delete from ledger.{table}")
    withdrawn = Person("p2@shop.test", "unsubscribe")
    world.desire(*people[:2], withdrawn, Person("new@shop.test", "subscribe", ("vip",)))
    assert (world.plan().updated, world.plan().entering) == (2, 3)
    writes = world.twin.writes
    target = world.destination()
    plan, given = rebaseline(world.settings, "small", destination=target)
    target.close()
    assert (plan.updated, given) == (2, 5)
    assert world.twin.writes == writes
    check_folds(world.rows)
    after = world.plan()
    assert (after.created, after.updated, after.lowered, after.unchanged) == (1, 0, 1, 2)
    report = world.sync()
    assert (report.created, report.updated, report.lowered) == (1, 0, 1)


def test_nobody_is_taken_for_a_member_of_a_segment_that_is_not_there(world: World) -> None:
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(Person(GOOD.email, "subscribe", ("vip", "cart"), {"city": "A"}))
    world.twin.put(GOOD.email, MW_CITY="A")
    world.twin.put_inside("mw:vip", GOOD.email)
    target = world.destination()
    plan, given = rebaseline(world.settings, "small", destination=target)
    target.close()
    assert (plan.segments_to_create, plan.entering, given) == (("mw:cart",), 2, 2)
    assert world.sync().entering == 1
    assert world.twin.inside("mw:cart") == {hash_of(GOOD.email)}
    check_folds(world.rows)


def test_a_change_that_is_not_worth_a_request(world: World) -> None:
    fields = [
        {"column": "first_name", "field": "FNAME", "name": "First Name"},
        {"column": "rec_1_price", "field": "MW_PRICE", "name": "Price", "type": "number", "significance": 0.5},
    ]
    small_declaration(world.settings, fields=fields, segments=None)
    world.sync_name = "small"

    def sync_price(price: float | None, name: str = "A") -> tuple[int, object]:
        world.desire(Person(GOOD.email, "subscribe", (), {"rec_1_price": price, "first_name": name}))
        report = world.sync()
        member = world.twin.member(GOOD.email)
        assert member is not None
        return report.created + report.updated, member.merge_fields.get("MW_PRICE")

    assert sync_price(123.41) == (1, 123.41)
    assert sync_price(123.44) == (0, 123.41)
    assert sync_price(123.44, "B") == (1, 123.44)  # sent for another reason: as it is
    assert sync_price(123.5, "B") == (1, 123.5)
    assert sync_price(None, "B") == (1, None)
    assert sync_price(0, "B") == (1, 0)


def test_a_date_that_moved_by_less_than_is_worth_a_request(world: World) -> None:
    fields = [
        {"column": "first_name", "field": "FNAME", "name": "First Name"},
        {"column": "recs_expire_at", "field": "MW_UNTIL", "name": "Until", "type": "date", "significance": 3},
    ]
    small_declaration(world.settings, fields=fields, segments=None)
    world.sync_name = "small"

    def sync_day(until: datetime | None, name: str = "A") -> tuple[int, object]:
        world.desire(Person(GOOD.email, "subscribe", (), {"recs_expire_at": until, "first_name": name}))
        report = world.sync()
        member = world.twin.member(GOOD.email)
        assert member is not None
        return report.created + report.updated, member.merge_fields.get("MW_UNTIL")

    def drift() -> int:
        target = world.destination()
        try:
            return audit(world.settings, "small", destination=target, sample=None).n_drifted
        finally:
            target.close()

    assert sync_day(datetime(2026, 7, 6, 23)) == (1, "2026-07-06")
    assert sync_day(datetime(2026, 7, 8, 1)) == (0, "2026-07-06")
    assert drift() == 0, "it is there as it was meant to be"
    assert sync_day(datetime(2026, 7, 8), "B") == (1, "2026-07-08")  # sent for another reason: as it is
    assert sync_day(datetime(2026, 7, 9), "B") == (1, "2026-07-09")
    assert sync_day(None, "B") == (1, None)


def test_significance_needs_numbers_or_dates(world: World) -> None:
    for kind, column in (("date", "city"), ("number", "city"), ("number", "recs_expire_at")):
        field = {"column": column, "field": "MW_X", "name": "X", "type": kind, "significance": 3}
        small_declaration(world.settings, fields=[field], segments=None)
        world.sync_name = "small"
        world.desire(GOOD)
        needs = f"needs a column of dates; {column} is " if kind == "date" else f"{column} has to be numbers"
        with pytest.raises(ConfigError, match=needs):
            world.plan()


def test_asked_to_end_a_run_stops_between_batches(closed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = closed_world
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(Person("p0@shop.test", "subscribe", ("vip",)), Person("p1@shop.test", "subscribe", ("vip",)))

    def ask(name: str) -> None:
        if name == "sync.answered_uncommitted":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sending, "failpoint", ask)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        world.sync()
    assert caught.value.exit_code == 5
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(sending, "failpoint", lambda _: None)
    # what was under way is confirmed, nothing is in doubt, and the next run does the rest
    assert world.rows("select object, state, count(*) from ledger.sync_state group by all") == [
        ("member", "confirmed", 2)
    ]
    assert world.rows("select status from ledger.sync_runs") == [("stopped",)]
    report = world.sync()
    assert (report.created, report.updated, report.entering) == (0, 0, 2)
    check_folds(world.rows)


def test_asked_to_end_a_run_begins_no_other_batch(closed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What of a wave has not gone out is not in doubt: nobody is looked up for it, and it is sent by the next run."""
    world = closed_world
    small_declaration(world.settings)
    world.sync_name = "small"
    monkeypatch.setattr(Mailchimp, "batch_size", lambda *_: 1)
    monkeypatch.setattr(Mailchimp, "concurrency", 1)
    world.desire(*(Person(f"p{n}@shop.test", "subscribe") for n in range(4)))
    sent: list[str] = []

    def ask(name: str) -> None:
        if name == "sync.sent_unanswered":
            sent.append(name)
            stopping._asked.set()  # the signal itself comes to the main thread, sooner or later

    monkeypatch.setattr(sending, "failpoint", ask)
    with pytest.raises(Stopped):
        world.sync()
    assert len(sent) == 1
    assert world.rows(
        "select state, rejected_class, is_doubtful, count(*) from ledger.sync_state group by all order by 1"
    ) == [
        ("confirmed", None, False, 1),
        ("rejected", "retryable", False, 3),
    ]
    monkeypatch.setattr(sending, "failpoint", lambda _: None)
    assert world.sync().created == 3
    check_folds(world.rows)
