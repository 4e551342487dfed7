"""Things go wrong at the destination: one clear error, the ledger intact, and the next run converges."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from reverse_etl import ledger, sending
from reverse_etl.connect import make_destination
from reverse_etl.destination import Record
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, without_secrets
from reverse_etl.runner import sync
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import API_KEY, Person, World, open_gate, small_declaration
from warehouse.errors import ConfigError, DataError, MailwrightError

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(6)]


def _converged(world: World) -> None:
    report = world.sync()
    assert report.is_complete
    assert {world.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    assert len(world.twin.inside("mw:vip")) == len(PEOPLE)
    assert world.sync().writes == 0
    check_folds(world.rows)


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
    check_folds(world.rows)
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


def test_unknown_list(world: World) -> None:
    world.desire(*PEOPLE)
    with pytest.raises(DestinationConfigError, match="does not know this audience"):
        world.sync(destination=world.destination(list_id="other"))
    _converged(world)


def test_key_revoked_half_way(world: World) -> None:
    world.desire(*PEOPLE)
    apply = sending._send
    world.twin.door.api_key = API_KEY

    def revoke(destination: object, batch: object) -> object:
        if batch.segment_id is not None:  # pyright: ignore[reportAttributeAccessIssue]
            world.twin.door.api_key = "another"
        return apply(destination, batch)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "_send", revoke)
        with pytest.raises(DestinationConfigError, match="API key"):
            world.sync()
    world.twin.door.api_key = API_KEY
    _converged(world)


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


def test_messages_hold_no_secret_and_no_address() -> None:
    text = without_secrets("key abc-us1 for <ann@shop.test>, 'bo+x@shop.test'\n again", ("abc-us1",))
    assert text == "key <secret> for <<address>>, '<address>' again"
    text = without_secrets(
        r"""{"email":"ann@shop.test","in":"\"ann b\"@shop.test"} "c d"@shop.test?e=x%40shop.test&n=1"""
    )
    assert text == r"""{"email":"<address>","in":"<address>"} <address>&n=1"""


@pytest.mark.parametrize(
    ("quoted", "left"),
    [
        ("mary.o'brien@shop.test looks fake", "<address> looks fake"),
        ("'mary.o'brien@shop.test' looks fake", "'<address>' looks fake"),
        (r'"a\"b"@shop.test', "<address>"),
        ('"quo ted"@shop.test, "x"', '<address>, "x"'),
        ("a@b@c.test", "<address>"),
        ("?email=ann%2540shop.test&n=1", "<address>&n=1"),
        ("ann&#64;shop.test ann&#x40;shop.test ann&amp;commat;shop.test", "<address> <address> <address>"),
        (r'{"email": "ann\u0040shop.test"}', '{"email": "<address>"}'),
        ("meet @ noon, @everybody, it's", "meet @ noon, @everybody, it's"),
    ],
)
def test_no_part_of_an_address_is_left(quoted: str, left: str) -> None:
    assert without_secrets(quoted) == left


def test_an_address_across_the_cut_goes_as_a_whole() -> None:
    assert without_secrets("x" * 290 + " maryjane.watson@shop.test") == "x" * 290 + " <address>"


def test_a_long_text_is_read_once() -> None:
    """Not once from each of its signs: a quarter of a megabyte would take minutes."""
    for text in ("a" * 250_000, '\\"' * 125_000, '"' * 250_000, "a@" * 125_000, "'" * 250_000 + "@"):
        assert len(without_secrets(text)) <= 300


def test_errors_are_never_bare(world: World) -> None:
    """Whatever a fault is, a run ends with an error that a user can act on, and the run is in the ledger."""
    world.desire(*PEOPLE)
    world.twin.faults.add("500", times=-1)
    with pytest.raises(MailwrightError, match="failed with status 500"):
        world.sync()
    assert world.rows("select status from ledger.sync_runs") == [("failed",)]
    assert world.rows("select count(*) from ledger.sync_leases") == [(0,)]


def _doubled_amid(world: World, monkeypatch: pytest.MonkeyPatch, table: str, said: str) -> None:
    """`table` has a record twice once the plan is made: the run ends, and says so."""
    waves = ledger.waves

    def doubled(con: duckdb.DuckDBPyConnection, *values: Any, **named: Any) -> Any:
        con.execute(f"insert into {table} select * from {table} limit 1")
        return waves(con, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "waves", doubled)
        with pytest.raises(DataError, match=f"1 records are {said} more than once"):
            world.sync()


@pytest.mark.parametrize("is_known", [False, True])
def test_a_person_who_is_there_twice_once_the_plan_is_made_ends_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    world.desire(*PEOPLE)
    if is_known:
        world.sync()
        world.desire(*[Person(one.email, "subscribe", ("vip",), {"city": "B"}) for one in PEOPLE])
    _doubled_amid(world, monkeypatch, f'"{world.settings.schema}".sync_esp__members', "to be sent")
    rows = world.rows("select count(*), count(distinct (object, record_key)) from ledger.sync_state")[0]
    assert rows[0] == rows[1]
    check_folds(world.rows)


@pytest.mark.parametrize("is_before_the_plan", [False, True])
def test_a_record_that_is_in_the_ledger_twice_is_told_and_not_multiplied(
    world: World, monkeypatch: pytest.MonkeyPatch, is_before_the_plan: bool
) -> None:
    """Nobody but a hand can have put it there: the table has no key."""
    people = [Person(one.email, "subscribe", (), {"city": "A"}) for one in PEOPLE]
    world.desire(*people)
    world.sync()
    world.desire(*[Person(one.email, "subscribe", (), {"city": "B"}) for one in people])
    if is_before_the_plan:
        world.rows("insert into ledger.sync_state select * from ledger.sync_state limit 1")
        with pytest.raises(DataError, match="more than once"):
            world.sync()
    else:
        _doubled_amid(world, monkeypatch, "ledger.sync_state", "in the ledger")
    assert world.rows("select count(*) from ledger.sync_state") == [(len(people) + 1,)]
