"""`sync new`: which field a column goes to, and that what is written can be synced at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reverse_etl.declaration import own_folder, parse_declaration
from reverse_etl.destination import Destination
from reverse_etl.scaffold import columns_of, draft, write
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.hubspot_world import HubSpotWorld
from tests.reverse_etl.klaviyo_world import KlaviyoWorld
from tests.reverse_etl.sendgrid_world import SendGridWorld
from tests.reverse_etl.world import Person, World
from warehouse.connection import connect
from warehouse.errors import DataError, RefusedError

RELATIONS = ("sync_esp__members", "sync_esp__segment_members", "sync_esp__addresses")
COLUMNS = {
    "first_name": "VARCHAR",
    "city": "VARCHAR",
    "last_purchase_on": "DATE",
    "n_orders": "BIGINT",
    "rec_1_name": "VARCHAR",
    "rec_1_price": "DECIMAL(18,2)",
    "rec_1_url": "VARCHAR",
    "recs_expire_at": "TIMESTAMP",
}


def _fields(destination: Destination, columns: dict[str, str] = COLUMNS) -> dict[str, str]:
    """Column → field."""
    made = draft("mine", destination.kind, "sync_esp__members", destination, columns, RELATIONS)
    return {column: spec.key for column, spec, _ in made.fields}


def _parsed(destination: Destination, folder: Path, columns: dict[str, str] = COLUMNS) -> dict[str, Any]:
    made = draft("mine", destination.kind, "sync_esp__members", destination, columns, RELATIONS)
    declaration = parse_declaration(write(made, folder))
    assert (declaration.model, declaration.addresses) == ("sync_esp__members", "sync_esp__addresses")
    assert declaration.segments is not None
    return {mapping.column: mapping for mapping in declaration.fields}


def test_mailchimp_has_short_tags_and_its_own_first_name(world: World, tmp_path: Path) -> None:
    target = world.destination()
    assert _fields(target) == {
        "first_name": "FNAME",
        "city": "MW_CITY",
        "last_purchase_on": "MW_LASTPUR",
        "n_orders": "MW_NORDERS",
        "rec_1_name": "MW_REC1NAM",
        "rec_1_price": "MW_REC1PRI",
        "rec_1_url": "MW_REC1URL",
        "recs_expire_at": "MW_RECSEXP",
    }
    fields = _parsed(target, tmp_path)
    assert fields["first_name"].on_null == "keep", "the audience's own field is never emptied"
    assert (fields["n_orders"].type, fields["n_orders"].on_null) == ("number", "overwrite")
    assert (fields["rec_1_price"].type, fields["rec_1_price"].on_null) == ("text", "clear")
    assert fields["city"].max_length == 255
    assert target.missing_fields([mapping.spec for mapping in fields.values()])


def test_tags_that_would_be_the_same_are_told_apart(world: World) -> None:
    names = ["last_purchase_on", "last_purchases", "last_purchased_brand"]
    fields = _fields(world.destination(), dict.fromkeys(names, "VARCHAR"))
    assert list(fields.values()) == ["MW_LASTPUR", "MW_LASTPU2", "MW_LASTPU3"]


def test_a_field_of_ours_is_found_again_and_one_of_another_type_is_not_touched(world: World) -> None:
    store = world.twin.store
    store.add_merge_field(DEFAULT_LIST, tag="MW_CITY", name="City", type="text")
    store.add_merge_field(DEFAULT_LIST, tag="MW_NORDERS", name="Orders", type="text")
    target = world.destination()
    made = draft("mine", "mailchimp", "sync_esp__members", target, COLUMNS, RELATIONS)
    found = {column: (spec.key, is_there) for column, spec, is_there in made.fields}
    assert found["city"] == ("MW_CITY", True)
    assert found["n_orders"] == ("MW_NORDER2", False)


def test_klaviyo(klaviyo_world: KlaviyoWorld, tmp_path: Path) -> None:
    klaviyo_world.twin.put("ann@shop.test", favourite_brand="x", points=3)
    target = klaviyo_world.destination()
    columns = {**COLUMNS, "favourite_brand": "VARCHAR", "points": "VARCHAR"}
    fields = _parsed(target, tmp_path, columns)
    assert fields["first_name"].field == "first_name"
    assert fields["city"].field == "location.city"
    assert fields["favourite_brand"].field == "favourite_brand"
    assert fields["points"].field == "mw_points", "a number there takes no text"
    assert fields["last_purchase_on"].field == "mw_last_purchase_on"
    assert target.missing_fields([mapping.spec for mapping in fields.values()]) == ()


def test_sendgrid_never_gets_what_it_cannot_empty(sendgrid: SendGridWorld, tmp_path: Path) -> None:
    target = sendgrid.destination()
    fields = _parsed(target, tmp_path)
    assert (fields["city"].field, fields["city"].on_null) == ("city", "keep")
    assert (fields["last_purchase_on"].type, fields["last_purchase_on"].on_null) == ("date", "keep")
    assert (fields["recs_expire_at"].type, fields["recs_expire_at"].on_null) == ("text", "clear")
    assert len(target.missing_fields([mapping.spec for mapping in fields.values()])) == 6


def test_hubspot(hubspot: HubSpotWorld, tmp_path: Path) -> None:
    target = hubspot.destination()
    fields = _parsed(target, tmp_path)
    assert fields["first_name"].field == "firstname"
    assert (fields["city"].field, fields["city"].on_null) == ("city", "keep")
    assert fields["n_orders"].field == "mw_n_orders"
    assert len(target.missing_fields([mapping.spec for mapping in fields.values()])) == 6


def test_what_was_written_can_be_synced(world: World) -> None:
    world.desire(Person("ann@shop.test", "subscribe", ("vip",), {"city": "Oslo", "first_name": "Ann"}))
    with connect(world.settings) as con:
        columns = columns_of(con, world.settings.schema, "sync_esp__members")
    assert "email" not in columns
    assert "consent_verdict" not in columns
    target = world.destination()
    made = draft("mine", "mailchimp", "sync_esp__members", target, columns, RELATIONS)
    write(made, own_folder(world.settings))
    world.sync_name = "mine"
    assert world.sync().created == 1
    found = world.twin.member("ann@shop.test")
    assert found is not None
    assert (found.merge_fields["MW_CITY"], found.merge_fields["FNAME"]) == ("Oslo", "Ann")
    assert world.twin.inside("mw:vip")


def test_a_sync_that_is_there_is_not_written_over(world: World, tmp_path: Path) -> None:
    made = draft("mine", "mailchimp", "sync_esp__members", world.destination(), COLUMNS, RELATIONS)
    path = write(made, tmp_path)
    path.write_text("mine, edited")
    with pytest.raises(RefusedError, match="such a sync already"):
        write(made, tmp_path)
    assert path.read_text() == "mine, edited"


@pytest.mark.parametrize(
    ("table", "message"),
    [("create table nothing.x (a text)", "is not in schema"), ("create table analytics.m (a text)", "lacks consent_v")],
)
def test_models_that_cannot_be_synced(world: World, table: str, message: str) -> None:
    with connect(world.settings, purpose="test") as con:
        con.execute("create schema nothing; create schema if not exists analytics")
        con.execute(table)
        with pytest.raises(DataError, match=message):
            columns_of(con, "analytics", "m")


def test_a_model_without_anything_to_send(world: World) -> None:
    with pytest.raises(DataError, match="no column that could be sent"):
        draft("mine", "mailchimp", "m", world.destination(), {}, ())
