"""Build records, the clock, past builds, snapshot, backup: with dbt's part played by hand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from warehouse import errors
from warehouse.backup import backup, restore
from warehouse.build import close_build, continue_build, forget_past, open_build, pin_clock, settings_as_of
from warehouse.clock import parse_instant, read_clock
from warehouse.connection import connect
from warehouse.dbt import DbtResult
from warehouse.settings import Settings, load_settings
from warehouse.snapshot import publish_snapshot
from warehouse.state import ensure_state

DEC = datetime(2011, 12, 10)
GOOD = DbtResult(True, 3, 5)


def test_two_stages_are_one_build(settings: Settings) -> None:
    pin_clock(settings, DEC)
    first = close_build(settings, open_build(settings), GOOD, stage="before_ml")
    assert first.status == "awaiting_ml"
    second = close_build(settings, continue_build(settings), GOOD, stage="after_ml")
    assert (second.build_id, second.status, second.n_models, second.n_tests) == (first.build_id, "succeeded", 6, 10)
    with pytest.raises(errors.RefusedError, match="does not wait for a second stage"):
        continue_build(settings)


def test_a_pinned_clock_decides_and_what_arrived_later_is_unknown(settings: Settings) -> None:
    pin_clock(settings, DEC)
    open_build(settings)
    with connect(settings, read_only=True) as con:
        clock = read_clock(con, settings.schema)
    assert (clock.as_of, clock.known_at) == (DEC, DEC)


def test_production_never_goes_back_in_time(settings: Settings) -> None:
    close_build(settings, open_build(settings, DEC), GOOD)
    close_build(settings, open_build(settings, DEC), GOOD)  # the same instant again is fine
    with pytest.raises(errors.RefusedError, match="lies before it"):
        open_build(settings, datetime(2011, 9, 1))


def test_a_past_build_has_a_schema_of_its_own_and_starts_from_nothing(settings: Settings) -> None:
    past = settings_as_of(settings, datetime(2011, 9, 1))
    assert (past.schema, past.ml_schema, past.is_production) == ("asof_20110901", "asof_20110901_ml", False)
    assert settings_as_of(settings, datetime(2011, 9, 1, 3, 4)).schema == "asof_20110901t030400"
    open_build(past, datetime(2011, 9, 1))
    with connect(past) as con:
        con.execute("create table asof_20110901.leftover as select 1 as x")
    open_build(past, datetime(2011, 9, 1))
    with connect(past, read_only=True) as con:
        assert con.execute("select * from duckdb_tables() where table_name = 'leftover'").fetchall() == []


def test_a_past_build_can_be_forgotten_and_no_other(settings: Settings) -> None:
    past, other = (settings_as_of(settings, datetime(2011, 9, day)) for day in (1, 2))
    open_build(settings, DEC)
    for one in (past, other):
        open_build(one, datetime(2011, 9, 1))
        with connect(one) as con:
            con.execute(f'create schema if not exists "{one.schema}"')
    forget_past(past)
    forget_past(past)  # again is fine
    with pytest.raises(ValueError, match="no schema of a past build"):
        forget_past(settings)
    with connect(settings, read_only=True) as con:
        left = {row[0] for row in con.execute("select schema_name from duckdb_schemas()").fetchall()}
        builds = con.execute("select schema_name from ops.builds order by 1").fetchall()
    assert {settings.ml_schema, other.schema, other.ml_schema} <= left
    assert not {past.schema, past.ml_schema} & left
    assert builds == [(settings.schema,), (past.schema,), (other.schema,)]


def test_a_build_remembers_the_loads_that_it_could_read(settings: Settings) -> None:
    with connect(settings) as con:
        ensure_state(con, settings)
        con.execute("insert into ops.loads values ('load_1', 'raw.a', 'a.csv', 'x', 'real', 1, 0, ?)", [DEC])
    opened = open_build(settings, DEC)
    with connect(settings) as con:
        con.execute("insert into ops.loads values ('load_2', 'raw.a', 'b.csv', 'y', 'real', 1, 0, ?)", [DEC])
        rows = con.execute("select load_id from ops.build_loads where build_id = ?", [opened.build_id]).fetchall()
    assert rows == [("load_1",)]


@pytest.mark.parametrize("text", ["2011-12-10", "2011-12-10T00:00Z", "2011-12-10T01:00:00+01:00"])
def test_instants_are_read_as_utc(text: str) -> None:
    assert parse_instant(text) == DEC


def test_a_wrong_instant_or_setting_is_one_clear_message() -> None:
    with pytest.raises(errors.DataError, match="'yesterday' is not a date"):
        parse_instant("yesterday")
    with pytest.raises(errors.ConfigError, match="'target' is wrong"):
        load_settings(target="staging")
    with pytest.raises(errors.ConfigError, match="reserved"):
        load_settings(schema_override="analytics")


def test_the_snapshot_is_readable_while_a_writer_holds_the_warehouse(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute("create table t as select 42 as x")
    publish_snapshot(settings)
    with connect(settings) as con:
        con.execute("insert into t values (43)")
        with duckdb.connect(str(settings.snapshot_path), read_only=True) as reader:
            assert reader.execute("select x from t").fetchall() == [(42,)]


@pytest.fixture
def backed_up(settings: Settings, tmp_path: Path) -> Path:
    with connect(settings) as con:
        ensure_state(con, settings)
        con.execute("insert into ops.loads values ('load_1', 'raw.a', 'naïve 🙂.csv', 'x', 'real', 1, 0, ?)", [DEC])
        con.execute("create table raw.a (x bigint, note text)")
        con.execute("insert into raw.a values (1, null), (2, '')")
        con.execute("create schema analytics")
        con.execute("create table analytics.segment_membership_history as select 'p' as profile_id")
        con.execute("create table analytics.dim_profiles as select 'p' as profile_id")
    settings.artefacts_dir.mkdir()
    (settings.artefacts_dir / "model").write_bytes(b"\x00\x01")
    destination = tmp_path / "backup"
    report = backup(settings, destination)
    assert report.n_rows == 1 + 2 + 1
    return destination


def test_restore_brings_back_what_no_rebuild_does(settings: Settings, backed_up: Path, tmp_path: Path) -> None:
    elsewhere = Settings(home=tmp_path / "elsewhere", target="prod")
    restore(elsewhere, backed_up)
    with connect(elsewhere, read_only=True) as con:
        assert con.execute("select file_name from ops.loads").fetchall() == [("naïve 🙂.csv",)]
        assert con.execute("select * from raw.a order by x").fetchall() == [(1, None), (2, "")]
        assert con.execute("select * from analytics.segment_membership_history").fetchall() == [("p",)]
        tables = {row[0] for row in con.execute("select table_name from duckdb_tables()").fetchall()}
        # keys came back too
        constraints = (
            "select count(*) from duckdb_constraints() where table_name = 'loads' and constraint_type = 'PRIMARY KEY'"
        )
        assert con.execute(constraints).fetchall() == [(1,)]
    assert "dim_profiles" not in tables  # a model: the next build makes it
    assert (elsewhere.artefacts_dir / "model").read_bytes() == b"\x00\x01"


def test_restore_refuses_what_it_should(settings: Settings, backed_up: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.RefusedError, match="warehouse already"):
        restore(settings, backed_up)
    with pytest.raises(errors.RefusedError, match="something at that path"):
        backup(settings, backed_up)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.DataError, match="not a backup"):
        restore(settings, tmp_path / "empty", replace=True)
    file = backed_up / "tables" / "raw.a.parquet"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(errors.DataError, match=r"raw\.a\.parquet is missing or changed"):
        restore(settings, backed_up, replace=True)
    with connect(settings, read_only=True) as con:
        assert con.execute("select count(*) from raw.a").fetchall() == [(2,)]  # untouched


def test_no_warehouse_yet_and_a_damaged_one_are_one_clear_message(settings: Settings) -> None:
    with pytest.raises(errors.DataError, match="no warehouse yet"), connect(settings, read_only=True):
        pass
    settings.home.mkdir()
    settings.warehouse_path.write_bytes(b"this is not a database" * 500)
    with pytest.raises(errors.DataError, match="cannot be opened"), connect(settings):
        pass
