"""Whose word an ended subscription is: hers, or our own lowering."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import reverse_etl.destinations.mailchimp as mc
from reverse_etl import planning
from reverse_etl.destination import BatchOutcome, Operation, Outcome, Record
from reverse_etl.errors import RejectedClass
from tests.reverse_etl.world import Person, World


def kept(world: World) -> list[tuple[str, str]]:
    return world.rows("select email, kind from ledger.remote_suppressions order by seen_at, email")


def dated(world: World, email: str, at: datetime) -> None:
    text = f"{at:%Y-%m-%dT%H:%M:%S}+00:00"
    world.twin.store._rows("update members set last_changed = ? where email_address = ?", text, email)


def test_clearing_whom_we_lowered_is_not_her_word(world: World) -> None:
    """She withdrew, and we lowered both addresses; she came back with newer evidence, and the old one is cleared."""
    world.twin.put("old@shop.test")
    world.desire(Person("new@shop.test", "subscribe", other_addresses=("old@shop.test",)))
    world.sync()
    world.desire(Person("new@shop.test", "unsubscribe", other_addresses=("old@shop.test",)))
    assert world.sync().lowered == 2
    world.twin.put("new@shop.test")
    world.desire(Person("new@shop.test", "subscribe", other_addresses=("old@shop.test",)))
    assert world.sync().cleared == 1
    assert world.sync().writes == 0
    assert kept(world) == []
    assert world.twin.status("new@shop.test") == "subscribed"


def test_a_kill_after_the_pull_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowered by us; back with an opt-in (pulled, then killed, or only planned); then gone by her own word."""
    world.twin.put("a@shop.test")
    world.desire(Person("a@shop.test", "unsubscribe"))
    assert world.sync().lowered == 1
    world.twin.put("a@shop.test")
    world.desire(Person("a@shop.test", "subscribe"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(planning, "look_at_segments", killed)
        with pytest.raises(KeyboardInterrupt):
            world.sync()
    world.twin.put("a@shop.test", "unsubscribed")
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync()
    assert kept(world) == [("a@shop.test", "unsubscribe")]
    assert world.twin.status("b@shop.test") is None


def test_a_lowering_that_was_refused_is_not_ours(world: World) -> None:
    """The destination refused to lower her; she came back with evidence, and left by her own word."""
    world.twin.put("old@shop.test")
    world.desire(Person("new@shop.test", "unsubscribe", other_addresses=("old@shop.test",)))
    target = world.destination()
    send = target.upsert

    def refuse(operation: Operation, records: list[Record]) -> BatchOutcome:
        no = BatchOutcome(Outcome("rejected", RejectedClass.DATA, "no"))
        return no if operation == "lower" else send(operation, records)

    target.upsert = refuse  # pyright: ignore[reportAttributeAccessIssue]
    world.sync(destination=target)
    world.desire(Person("new@shop.test", "subscribe", other_addresses=("old@shop.test",)))
    world.sync()
    world.twin.put("old@shop.test", "unsubscribed")
    world.sync()
    assert kept(world) == [("old@shop.test", "unsubscribe")]
    assert world.twin.status("new@shop.test") == "unsubscribed"


def test_unsubscribed_again_between_two_pulls(world: World) -> None:
    """Unsubscribed and weighed; an opt-in, and another unsubscribe, both before the next look."""
    world.twin.put("a@shop.test", "unsubscribed")
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync()
    seen_at = world.rows("select seen_at from ledger.remote_suppressions")[0][0]
    world.twin.put("a@shop.test", "subscribed")
    world.twin.put("a@shop.test", "unsubscribed")
    dated(world, "a@shop.test", datetime.now(UTC) + timedelta(seconds=5))
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",), weighed_to=seen_at))
    world.sync()
    assert len(kept(world)) == 2
    assert world.twin.status("b@shop.test") is None


def test_a_ledger_from_before_the_table(world: World) -> None:
    """An older version pulled her an hour ago: an incremental pull does not show her again."""
    world.twin.put("a@shop.test", "unsubscribed")
    dated(world, "a@shop.test", datetime.now(UTC) - timedelta(hours=2))
    world.twin.put("x@shop.test")
    world.desire(Person("x@shop.test", "subscribe"))
    world.sync()
    world.rows("delete from ledger.remote_suppressions returning 1")
    world.desire(Person("x@shop.test"), Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync()
    assert world.twin.status("b@shop.test") is None


def test_one_change_dated_ahead_hides_no_other(world: World) -> None:
    """One member carries an instant of the future: changes of the others must still be asked for."""
    world.twin.put("a@shop.test")
    world.twin.put("odd@shop.test")
    dated(world, "odd@shop.test", datetime.now(UTC) + timedelta(hours=1))
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync()
    world.twin.put("a@shop.test", "unsubscribed")
    world.sync()
    assert world.twin.status("b@shop.test") == "unsubscribed"


def test_who_moves_while_pages_are_read_hides_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are sorted by change and cut by offset: one who changes moves the first of the next page into the last."""
    world.desire(Person("x@shop.test", "subscribe"))
    world.sync()
    for n, name in enumerate("pqar"):
        world.twin.put(f"{name}@shop.test", "unsubscribed" if name == "a" else "subscribed")
        dated(world, f"{name}@shop.test", datetime(2026, 1, 1, 0, 0, n))
    world.rows("delete from ledger.remote_pulls returning 1")
    limit = mc.limit
    monkeypatch.setattr(mc, "limit", lambda kind, name: 2 if name == "page_size" else limit(kind, name))
    target = world.destination()
    pull, moved = target.pull_members, []

    def moving(**options: object) -> object:
        for page in pull(**options):  # pyright: ignore[reportArgumentType]
            yield page
            if not moved:
                moved.append(world.twin.put("p@shop.test"))

    target.pull_members = moving  # pyright: ignore[reportAttributeAccessIssue]
    world.desire(Person("x@shop.test"), Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync(destination=target)
    assert world.twin.status("b@shop.test") is None


def test_a_slow_clock_there_does_not_date_it_before_our_last_look(world: World) -> None:
    """Seen subscribed at noon, so she left after noon, whatever the vendor's clock says."""
    world.twin.put("a@shop.test")
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    world.sync()
    looked = world.rows("select max(pulled_at) from ledger.remote_pulls")[0][0]
    world.twin.put("a@shop.test", "unsubscribed")
    dated(world, "a@shop.test", looked - timedelta(seconds=60))
    world.sync()
    assert world.rows("select suppressed_at >= ? from ledger.remote_suppressions", looked) == [(True,)]
