"""What is wrong with a model is told by a plan, in words, before anything is sent."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from reverse_etl import ledger
from reverse_etl.errors import DestinationConfigError
from tests.reverse_etl.events_world import EVENTS, Happening, write_events
from tests.reverse_etl.world import Person, World, small_declaration
from warehouse.errors import ConfigError, DataError

MEMBERS, SEGMENTS = "sync_esp__members", "sync_esp__segment_members"
ADDRESSES, HAPPENED = "sync_esp__addresses", "sync_esp__events"


@pytest.fixture
def modelled(world: World) -> World:
    """Every kind of model that a sync may have, with a row in each."""
    fields = [{"column": "city", "field": "MW_CITY", "name": "City"},
              {"column": "rec_1_price", "field": "MW_PRICE", "name": "Price", "type": "number"}]  # fmt: skip
    small_declaration(world.settings, fields=fields, events=EVENTS, addresses=ADDRESSES)
    world.sync_name = "small"
    world.desire(Person("ann@shop.test", "subscribe", ("vip",)))
    write_events(world.settings, [Happening("ann@shop.test")])
    return world


@pytest.mark.parametrize(
    ("model", "column", "type_", "using"),
    [
        (MEMBERS, "city", "text[]", "[city]"),
        (MEMBERS, "city", "struct(a text)", "{'a': city}"),
        (MEMBERS, "city", "map(text, text)", "map(['a'], [city])"),
        (MEMBERS, "city", "blob", "'x'"),
        (MEMBERS, "rec_1_price", "text", "'abc'"),
        (MEMBERS, "email", "text[]", "[email]"),
        (MEMBERS, "subscriber_hash", "uuid", "subscriber_hash"),
        (MEMBERS, "consent_verdict", "integer", "1"),
        (MEMBERS, "as_of", "date", "as_of"),
        (MEMBERS, "as_of", "timestamptz", "as_of"),
        (MEMBERS, "as_of", "text", "as_of"),
        (SEGMENTS, "segment_name", "integer", "5"),
        (ADDRESSES, "suppressions_weighed_to", "text", "suppressions_weighed_to"),
        (HAPPENED, "event_id", "bigint", "1"),
        (HAPPENED, "occurred_at", "text", "occurred_at"),
        (HAPPENED, "occurred_at", "date", "occurred_at"),
    ],
)
def test_a_column_of_another_type(modelled: World, model: str, column: str, type_: str, using: str) -> None:
    modelled.rows(f'alter table "{modelled.settings.schema}".{model} alter {column} type {type_} using {using}')
    with pytest.raises((ConfigError, DataError), match=f"{column} has to be") as caught:
        modelled.plan()
    assert model in str(caught.value)
    assert modelled.twin.writes == 0
    assert modelled.rows("select count(*) from ledger.sync_leases") == [(0,)]


@pytest.mark.parametrize(
    ("model", "column", "value"),
    [
        (MEMBERS, "as_of", "'infinity'"),
        (SEGMENTS, "segment_name", "null"),
        (SEGMENTS, "subscriber_hash", "null"),
        # her word at one address would not reach the others
        (ADDRESSES, "profile_id", "null"),
        (HAPPENED, "subscriber_hash", "null"),
        (HAPPENED, "occurred_at", "null"),
        (HAPPENED, "occurred_at", "'infinity'"),
    ],
)
def test_a_value_that_nothing_can_be_done_with(modelled: World, model: str, column: str, value: str) -> None:
    modelled.rows(f'update "{modelled.settings.schema}".{model} set {column} = {value}')
    with pytest.raises(DataError, match=column) as caught:
        modelled.plan()
    assert f"{model}.{column}" in str(caught.value)
    assert modelled.rows("select count(*) from ledger.sync_leases") == [(0,)]


@pytest.mark.parametrize(
    "rebuilt",
    [f"alter table {{}}.{MEMBERS} drop column city", f"drop table {{}}.{MEMBERS}", f"drop table {{}}.{ADDRESSES}"],
)
def test_a_model_that_is_another_by_the_time_of_sending(
    modelled: World, monkeypatch: pytest.MonkeyPatch, rebuilt: str
) -> None:
    waves = ledger.waves

    def rebuild(con: duckdb.DuckDBPyConnection, *rest: Any, **named: Any) -> Any:
        con.execute(rebuilt.format(f'"{modelled.settings.schema}"'))
        return waves(con, *rest, **named)

    monkeypatch.setattr(ledger, "waves", rebuild)
    with pytest.raises(DataError, match="was rebuilt"):
        modelled.sync()
    assert modelled.rows("select count(*) from ledger.sync_state") == [(0,)]
    assert modelled.rows("select count(*) from ledger.sync_leases") == [(0,)]
    assert modelled.rows("select status from ledger.sync_runs") == [("failed",)]


def test_the_address_is_no_field(modelled: World) -> None:
    fields = [{"column": "city", "field": "EMAIL", "name": "City"}]
    small_declaration(modelled.settings, fields=fields, addresses=ADDRESSES)
    with pytest.raises(DestinationConfigError, match="EMAIL is Mailchimp's own"):
        modelled.plan()


def test_a_plan_notes_memberships_that_nobody_mirrors_any_longer(modelled: World) -> None:
    modelled.sync()
    small_declaration(modelled.settings, segments=None, addresses=ADDRESSES)
    (note,) = modelled.plan().notes
    assert "1 memberships stay at the destination" in note
