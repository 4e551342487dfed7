"""What a sync refuses to do, and how one overrides it by name; the lease; the gate; the clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from reverse_etl import lease as leases
from reverse_etl.errors import GuardTripped, LeaseHeld
from reverse_etl.runner import plan, sync
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import AS_OF, Person, World, open_gate, small_declaration
from warehouse.build import pin_clock
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError, RefusedError
from warehouse.settings import Settings

GUARDS = {"min_records": 2, "max_share_leaving": 0.5, "max_share_removed": 0.5, "max_share_vanished": 0.5}


def _people(n: int, **columns: Any) -> list[Person]:
    return [Person(f"p{i}@shop.test", "subscribe", ("vip",), columns) for i in range(n)]


@pytest.fixture
def guarded(world: World) -> World:
    small_declaration(world.settings, guards={**GUARDS, "max_share_lowered": 0.5, "max_first_run_creates": 10})
    world.sync_name = "small"
    world.desire(*_people(8))
    world.sync()
    return world


def _tripped(world: World, name: str) -> GuardTripped:
    writes = world.twin.writes
    assert name in {guard.name for guard in world.plan().guards}
    with pytest.raises(GuardTripped, match=name) as caught:
        world.sync()
    assert caught.value.exit_code == 4
    assert world.twin.writes == writes
    assert world.rows("select status from ledger.sync_runs order by started_at desc limit 1") == [("refused",)]
    assert world.rows("select count(*) from ledger.sync_leases") == [(0,)]
    return caught.value


def test_an_empty_model_is_refused(guarded: World) -> None:
    guarded.desire()
    assert "share_removed" in str(_tripped(guarded, "empty_source"))
    with pytest.raises(GuardTripped, match="share_removed"):
        guarded.sync(overrides=["empty_source"])
    report = guarded.sync(overrides=["empty_source", "share_removed", "share_leaving"])
    assert (report.cleared, report.leaving) == (8, 8)
    assert guarded.twin.inside("mw:vip") == set()
    assert {m.status for m in guarded.twin.store.members(DEFAULT_LIST)[0]} == {"subscribed"}


def test_too_many_leave_a_segment(guarded: World) -> None:
    guarded.desire(*(Person(p.email, p.verdict, ("vip",) if n < 3 else ()) for n, p in enumerate(_people(8))))
    assert "5 of 8 members would leave 'mw:vip'" in str(_tripped(guarded, "share_leaving"))
    assert guarded.sync(overrides=["share_leaving"]).leaving == 5


def test_too_many_are_unsubscribed(guarded: World) -> None:
    guarded.desire(*(Person(p.email, "unsubscribe") for p in _people(8)))
    _tripped(guarded, "share_lowered")


def test_a_reset_audience_is_noticed(guarded: World) -> None:
    for member in guarded.twin.store.members(DEFAULT_LIST)[0]:
        guarded.twin.store.forget(DEFAULT_LIST, member.id)
    guarded.twin.store._con.execute("delete from forgotten")
    _tripped(guarded, "vanished")
    report = guarded.sync(overrides=["vanished", "share_leaving"])
    assert (report.created, report.entering) == (8, 8)
    assert guarded.sync().writes == 0


def test_a_large_first_run(world: World) -> None:
    small_declaration(world.settings, guards={"max_first_run_creates": 5})
    world.sync_name = "small"
    world.desire(*_people(6))
    _tripped(world, "first_run")
    assert world.sync(overrides=["first_run"]).created == 6


def test_the_gate_is_asked_first(world: World) -> None:
    def shut(con: duckdb.DuckDBPyConnection, settings: Settings, /) -> None:
        raise RefusedError("Checks failed for raw.shop_orders.", todo="run mailwright check")

    world.desire(*_people(2))
    with pytest.raises(RefusedError, match="Checks failed"):
        world.sync(gate=shut)
    assert world.twin.store.counters() == {}
    assert "Checks failed" in world.plan(gate=shut).notes[0]
    with pytest.raises(TypeError):
        sync(world.settings, "mailchimp", destination=world.destination())  # pyright: ignore[reportCallIssue]


def test_the_gate_is_asked_again_where_rows_are_compared(world: World) -> None:
    """A rebuild between the first look and the comparison may have brought rows that were never checked."""
    asked: list[int] = []

    def shuts(con: duckdb.DuckDBPyConnection, settings: Settings, /) -> None:
        asked.append(1)
        if len(asked) == 2:
            raise RefusedError("Checks failed for a newer load.")

    world.desire(*_people(2))
    with pytest.raises(RefusedError, match="newer load"):
        world.sync(gate=shuts)
    assert world.twin.writes == 0


def test_another_schema_must_be_named(world: World) -> None:
    trial = Settings(home=world.settings.home, target="prod", schema_override="asof_20110901")
    world.settings = trial
    world.desire(*_people(1))
    for allow in (None, "analytics"):
        with pytest.raises(RefusedError, match="not production"):
            world.sync(allow_schema=allow)
        with pytest.raises(RefusedError, match="not production"):
            world.plan(allow_schema=allow)
    assert world.sync(allow_schema="asof_20110901").created == 1


def test_an_older_as_of_is_refused(world: World) -> None:
    world.desire(*_people(1))
    world.sync()
    world.desire(*_people(1, city="older"), as_of=AS_OF - timedelta(days=1))
    with pytest.raises(RefusedError, match="older than what was last synced"):
        world.sync()
    with pytest.raises(RefusedError, match="older"):
        world.plan()
    world.desire(*_people(1, city="newer"), as_of=AS_OF + timedelta(hours=1))
    assert world.sync().updated == 1


def test_only_one_runner_at_once(world: World) -> None:
    world.desire(*_people(1))
    world.sync()
    with connect(world.settings) as con:
        leases.acquire(con, "mailchimp", world.destination().key, "sync_other")
    with pytest.raises(LeaseHeld, match="under way") as caught:
        world.sync()
    assert caught.value.exit_code == 4
    with connect(world.settings) as con:  # the same number, but a process that began at another time: dead
        con.execute("update ledger.sync_leases set process_started = '1'")
    assert world.sync().writes == 0


def test_a_holder_elsewhere_is_dead_when_its_heartbeat_is_old(world: World) -> None:
    world.desire(*_people(1))
    world.sync()
    with connect(world.settings) as con:
        leases.acquire(con, "mailchimp", world.destination().key, "sync_other")
        con.execute("update ledger.sync_leases set host = 'elsewhere'")
    with pytest.raises(LeaseHeld):
        world.sync()
    with connect(world.settings) as con:
        con.execute("update ledger.sync_leases set heartbeat_at = ?", [utcnow() - timedelta(hours=1)])
        mine = leases.Lease("mailchimp", world.destination().key, "sync_other")
    world.sync()
    with connect(world.settings) as con, pytest.raises(LeaseHeld, match="took over"):
        leases.renew(con, mine)


def test_a_plan_that_moved_is_refused(world: World) -> None:
    world.desire(*_people(2))
    made = world.plan()
    world.desire(*_people(3))
    with pytest.raises(RefusedError, match="moved"):
        world.sync(plan=made)
    world.desire(*_people(2))
    assert world.sync(plan=made).created == 2


def test_a_dry_run_writes_nothing(world: World) -> None:
    world.desire(*_people(2))
    report = world.sync(dry_run=True)
    assert (report.is_dry_run, report.created, report.entering, report.writes) == (True, 2, 2, 0)
    assert world.twin.writes == 0
    assert world.rows("select status from ledger.sync_runs") == [("dry_run",)]


def test_models_that_cannot_be_synced(world: World) -> None:
    with pytest.raises(DataError, match="is not in schema 'analytics'"):
        world.sync()
    world.desire(*_people(2), Person("P1@shop.test"))
    with pytest.raises(DataError, match="1 rows of the model have no key of their own"):
        world.sync()
    world.desire(*_people(2))
    with connect(world.settings) as con:
        con.execute("alter table analytics.sync_esp__members drop column rfm_cell")
    with pytest.raises(ConfigError, match="rfm_cell"):
        plan(world.settings, "mailchimp", destination=world.destination())
    assert world.twin.writes == 0


def test_latency_is_measured_from_the_newest_load_of_the_build(world: World) -> None:
    world.desire(*_people(1))
    world.sync(dry_run=True)  # makes the permanent tables
    loaded_at = utcnow() - timedelta(minutes=5)
    with connect(world.settings) as con:
        con.execute(
            """insert into ops.loads (load_id, table_name, file_name, file_sha256, provenance, rows_loaded,
                   rows_quarantined, loaded_at) values ('load_1', 'web_events', 'f', 'x', 'simulated', 1, 0, ?)""",
            [loaded_at],
        )
        con.execute("insert into ops.build_loads (build_id, load_id) values ('build_1', 'load_1')")
        con.execute(
            """insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, status, n_models, n_tests,
                   n_failed) values ('build_1', 'analytics', ?, ?, ?, 'succeeded', 1, 1, 0)""",
            [AS_OF, AS_OF, datetime(2026, 1, 1)],
        )
    report = world.sync()
    assert report.newest_loaded_at == loaded_at
    assert report.latency_seconds is not None
    assert report.latency_seconds >= 300
    assert report.data_age_seconds == (AS_OF - loaded_at).total_seconds()
    assert report.to_dict()["is_complete"] is True


def test_a_segment_deleted_there_is_made_and_filled_again(world: World) -> None:
    world.desire(*_people(3))
    world.sync()
    segment_id = world.twin.store.segment_named(DEFAULT_LIST, "mw:vip")
    assert segment_id is not None
    world.twin.store.drop_segment(segment_id)
    assert world.plan().segments_to_create == ("mw:vip",)
    assert world.sync().entering == 3
    assert len(world.twin.inside("mw:vip")) == 3
    assert world.sync().writes == 0


def test_fields_that_do_not_fit_are_refused_before_anything_is_written(world: World) -> None:
    world.desire(*_people(1))
    for n in range(8):
        world.twin.store.add_merge_field(DEFAULT_LIST, tag=f"T{n}", name="x", type="text")
    with pytest.raises(ConfigError, match="12 fields are there, 22 more are needed, 30 are allowed"):
        world.sync()
    small_declaration(
        world.settings,
        fields=[{"column": "city", "field": "T1", "name": "City", "type": "date"}],
    )
    with pytest.raises(ConfigError, match="T1 is of type text there and date here"):
        sync(world.settings, "small", gate=open_gate, destination=world.destination())
    assert world.twin.writes == 0


def test_too_many_would_be_updated(world: World) -> None:
    small_declaration(world.settings, guards={**GUARDS, "max_share_changed": 0.5})
    world.sync_name = "small"
    world.desire(*_people(8, city="Oslo"))
    world.sync()
    world.desire(*_people(4, city="Rome"), *_people(8, city="Oslo")[4:])
    assert world.sync().updated == 4
    world.desire(*_people(8, city="Bern"))
    assert "8 of 8 confirmed people would be updated; at most 50% may" in str(_tripped(world, "share_changed"))
    assert world.sync(overrides=["share_changed"]).updated == 8


def test_a_list_that_others_filled_trips_no_share(world: World) -> None:
    small_declaration(world.settings, guards=GUARDS)
    world.sync_name = "small"
    for person in _people(8):
        world.twin.put(person.email)
    world.desire(*_people(8, city="Oslo"))
    assert world.sync().updated == 8


def _loaded(world: World, hours_ago: float, *, is_ours: bool = True, table: str = "shop_orders") -> None:
    with connect(world.settings, purpose="test") as con:
        at = utcnow() - timedelta(hours=hours_ago)
        con.execute("delete from ops.builds; delete from ops.loads; delete from ops.build_loads")
        con.execute(
            """insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, finished_at, status)
               values ('b', 'analytics', ?, ?, ?, ?, 'succeeded')""",
            [AS_OF, at, at, at if not is_ours else utcnow()],
        )
        if is_ours:
            con.execute("insert into ops.build_loads values ('b', 'l')")
            columns = {row[0]: row[1] for row in con.execute("describe ops.loads").fetchall()}
            given = {"load_id": "l", "loaded_at": at, "table_name": table}
            values = [
                given.get(name, 0 if "INT" in kind else at if "TIME" in kind else "x") for name, kind in columns.items()
            ]
            con.execute(f"insert into ops.loads values ({', '.join('?' * len(values))})", values)


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_nothing_was_loaded_for_is_stale(guarded: World, is_ours: bool) -> None:
    _loaded(guarded, 47, is_ours=is_ours)
    guarded.desire(*_people(8, city="Oslo"))
    assert guarded.sync().updated == 8
    _loaded(guarded, 50, is_ours=is_ours)
    guarded.desire(*_people(8, city="Rome"))
    message = str(_tripped(guarded, "stale_source"))
    assert (
        "load that the models know" if is_ours else "build of the models"
    ) + " is 50 hours old; 48 may be" in message
    assert guarded.sync(overrides=["stale_source"]).updated == 8
    lax = {**GUARDS, "max_hours_without_load": None}
    small_declaration(guarded.settings, guards=lax)
    guarded.desire(*_people(8, city="Bern"))
    assert guarded.sync().updated == 8


def test_what_the_esp_told_says_nothing_of_the_shop(guarded: World) -> None:
    _loaded(guarded, 50)
    with connect(guarded.settings, purpose="test") as con:
        con.execute("insert into ops.build_loads values ('b', 'pulled')")
        con.execute(
            """insert into ops.loads by name select * replace (
                   'pulled' as load_id, 'email_events' as table_name, cast(? as timestamp) as loaded_at
               ) from ops.loads""",
            [utcnow()],
        )
    _tripped(guarded, "stale_source")


def test_what_has_expired_since_the_build_is_not_sent(guarded: World) -> None:
    """The clock of the rows goes on from the build: a warehouse may stand in the past."""
    field = {"column": "recs_expire_at", "field": "MW_RECEXP", "name": "Until", "type": "date"}
    lax = {**GUARDS, "max_hours_without_load": None}
    small_declaration(guarded.settings, guards=lax, fields=[field])
    people = _people(8, recs_expire_at=AS_OF + timedelta(days=7))
    before = _people(8, recs_expire_at=AS_OF)  # when it was built already: the model's own business
    guarded.desire(*people[:6], before[6], _people(8)[7])

    def built(*ago: timedelta) -> None:
        with connect(guarded.settings, purpose="test") as con:
            con.execute("delete from ops.builds")
            for n, one in enumerate(ago):
                con.execute(
                    "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, finished_at, status) "
                    "values (?, 'analytics', ?, ?, ?, ?, 'succeeded')",
                    [f"b{n}", AS_OF, AS_OF, utcnow() - one, utcnow() - one],
                )

    pin_clock(guarded.settings, AS_OF)
    built(timedelta(days=7, seconds=1))
    assert "What 6 rows offer has expired (recs_expire_at)" in str(_tripped(guarded, "expired"))
    built(timedelta(days=7, seconds=1), timedelta(seconds=1))  # the same instant again is no younger
    _tripped(guarded, "expired")
    built(timedelta(days=6, hours=23))
    assert guarded.sync().updated > 0


def test_a_clock_that_is_not_pinned_goes_on_by_the_wall(guarded: World) -> None:
    """Whenever it was built: a second stage days later speaks of the old instant still."""
    field = {"column": "recs_expire_at", "field": "MW_RECEXP", "name": "Until", "type": "date"}
    small_declaration(guarded.settings, guards={**GUARDS, "max_hours_without_load": None}, fields=[field])
    as_of = utcnow() - timedelta(days=3)
    with connect(guarded.settings, purpose="test") as con:
        con.execute(
            "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, finished_at, status) "
            "values ('b', 'analytics', ?, ?, ?, ?, 'succeeded')",
            [as_of, as_of, utcnow(), utcnow()],
        )
    guarded.desire(*_people(8, recs_expire_at=as_of + timedelta(days=2)), as_of=as_of)
    _tripped(guarded, "expired")
    guarded.desire(*_people(8, recs_expire_at=as_of + timedelta(days=4)), as_of=as_of)
    assert guarded.sync().updated > 0
