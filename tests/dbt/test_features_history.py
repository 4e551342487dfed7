"""Histories: who entered and left what, kept over builds and never rebuilt."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from tests.dbt import features_support as support
from tests.dbt.features_data import AS_OF, ZONE, local_date
from tests.dbt.features_support import Built
from warehouse.settings import Settings

HISTORIES = ("segment_membership_history", "lifecycle_transitions", "lifecycle_sizes")


@pytest.fixture
def settings(built: Built) -> Iterator[Settings]:
    """The shared build, put back afterwards."""
    path = built.settings.warehouse_path
    aside = path.with_suffix(".aside")
    shutil.copy(path, aside)
    yield built.settings
    shutil.move(aside, path)


def run(
    settings: Settings, *statements: str, full_refresh: bool = False, fails: bool = False, also: tuple[str, ...] = ()
) -> str:
    """Change what stands upstream of the histories, then build them alone, `also` with models that read them."""
    with duckdb.connect(str(settings.warehouse_path)) as con:
        for statement in statements:
            con.execute(statement)
    refresh = ["--full-refresh"] if full_refresh else []
    zone = {"business_time_zone": ZONE}
    return support.dbt(settings, "run", *refresh, "--select", *HISTORIES, *also, variables=zone, fails=fails)


def clock(days: int, hours: int = 0) -> list[str]:
    """Statements that move the clock to so long after AS_OF."""
    return [
        f"update analytics.{table} set as_of = timestamp '{AS_OF + timedelta(days=days, hours=hours)}'"
        for table in ("clock", "segment_memberships", "lifecycle_stages", "engagement_levels", "rfm_scores")
    ]


def history(settings: Settings) -> list[tuple[Any, ...]]:
    names = ("profile_id", "segment_name", "entered_at", "left_at")
    return [tuple(r[name] for name in names) for r in support.read(settings, HISTORIES[0], ", ".join(names[:3]))]


def transitions(settings: Settings) -> list[tuple[Any, ...]]:
    return [tuple(r.values()) for r in support.read(settings, HISTORIES[1], "profile_id, vocabulary, transitioned_at")]


def test_histories_over_builds(settings: Settings) -> None:
    first, first_stages = history(settings), transitions(settings)
    assert first
    assert all(entered_at == AS_OF and left_at is None for _, _, entered_at, left_at in first)
    leaver, stayer = [who for who, segment, *_ in first if segment == "lapsed"][:2]
    leave = f"delete from analytics.segment_memberships where profile_id = '{leaver}' and segment_name = 'lapsed'"
    enter = "insert into analytics.segment_memberships select 'newcomer', 'lapsed', max(as_of) from analytics.clock"
    stage = f"update analytics.lifecycle_stages set customer_stage = 'repeat_buyer' where profile_id = '{leaver}'"

    # a day later, one leaves, one enters, one moves; but also somebody by mistake
    mistake = f"delete from analytics.segment_memberships where profile_id = '{stayer}' and segment_name = 'lapsed'"
    run(settings, leave, enter, mistake, stage, *clock(1))
    later = AS_OF + timedelta(days=1)
    assert (stayer, "lapsed", AS_OF, later) in history(settings)

    # which a second build at that as_of takes back; a full refresh refreshes no history
    mend = f"insert into analytics.segment_memberships select '{stayer}', 'lapsed', max(as_of) from analytics.clock"
    run(settings, mend, full_refresh=True)
    changed = set(history(settings)) ^ set(first)
    assert changed == {
        (leaver, "lapsed", AS_OF, None),
        (leaver, "lapsed", AS_OF, later),
        ("newcomer", "lapsed", later, None),
    }
    moved = set(transitions(settings)) ^ set(first_stages)
    assert moved == {(leaver, "customer_stage", "lapsed_customer", "repeat_buyer", later)}

    # she comes back: a second row
    again = f"insert into analytics.segment_memberships select '{leaver}', 'lapsed', max(as_of) from analytics.clock"
    run(settings, *clock(2), again)
    mine = [row for row in history(settings) if row[:2] == (leaver, "lapsed")]
    assert mine == [(leaver, "lapsed", AS_OF, later), (leaver, "lapsed", AS_OF + timedelta(days=2), None)]

    # the past is not rewritten
    before = (history(settings), transitions(settings))
    output = run(settings, *clock(-1), fails=True)
    assert "already holds" in output
    assert "mailwright build --as-of" in output
    assert (history(settings), transitions(settings)) == before


def sizes(settings: Settings) -> dict[tuple[date, str], dict[str, int]]:
    """Profiles by stage, of each day and vocabulary."""
    found: dict[tuple[date, str], dict[str, int]] = {}
    for row in support.read(settings, HISTORIES[2], "as_of_on, vocabulary, stage"):
        found.setdefault((row["as_of_on"], row["vocabulary"]), {})[row["stage"]] = row["n_profiles"]
    return found


def test_sizes_are_kept_per_day_and_the_last_build_of_a_day_stands(settings: Settings) -> None:
    first = sizes(settings)
    today = local_date(AS_OF)
    assert set(first) == {
        (today, vocabulary) for vocabulary in ("customer_stage", "journey_stage", "engagement_level", "rfm_cell")
    }
    people = len(support.read(settings, "lifecycle_stages", "profile_id"))
    assert [sum(first[today, name].values()) for name in ("customer_stage", "engagement_level")] == [people, people]
    assert sum(first[today, "rfm_cell"].values()) == len(support.read(settings, "rfm_scores", "profile_id")) > 0

    # an hour later on the same day, one stage is empty: its row goes; a full refresh keeps the days before
    run(settings, "update analytics.lifecycle_stages set customer_stage = 'visitor'", *clock(0, hours=1))
    assert sizes(settings) == {**first, (today, "customer_stage"): {"visitor": people}}
    run(settings, *clock(2), full_refresh=True)
    after = sizes(settings)
    assert {key: value for key, value in after.items() if key[0] == today} == {
        **first,
        (today, "customer_stage"): {"visitor": people},
    }
    assert after[today + timedelta(days=2), "customer_stage"] == {"visitor": people}
    shares = {(row["as_of_on"], row["vocabulary"]): 0.0 for row in support.read(settings, HISTORIES[2], "as_of_on")}
    for row in support.read(settings, HISTORIES[2], "as_of_on"):
        shares[row["as_of_on"], row["vocabulary"]] += row["share"]
    assert all(math.isclose(share, 1) for share in shares.values())

    # the views over it need no build of their own
    moved = {r["stage"]: r for r in support.read(settings, "lifecycle_shifts", "vocabulary, stage")}
    assert (moved["visitor"]["earlier_on"], moved["visitor"]["share_change"]) == (today, 0)

    run(settings, *clock(1), fails=True)
    assert sizes(settings) == after


def test_two_people_who_became_one_keep_one_memory(settings: Settings) -> None:
    """Nobody enters or leaves because of a merge; where both were in, the earlier entry counts."""
    former, kept = sorted({who for who, segment, *_ in history(settings) if segment == "lapsed"})[:2]
    mine = [f"segment_memberships where profile_id = '{former}'", f"lifecycle_stages where profile_id = '{former}'"]
    enter = f"""insert into analytics.segment_membership_history
        select '{former}', 'a_segment_of_hers', max(as_of) - interval 1 day, null, 'build' from analytics.clock"""
    stays = f"""insert into analytics.segment_memberships
        select '{kept}', 'a_segment_of_hers', max(as_of) from analytics.clock"""
    at_once = """insert into analytics.segment_membership_history
        select '{who}', '{segment}', max(as_of) - interval 3 day, {left}, 'build' from analytics.clock"""
    yesterday = "max(as_of) - interval 1 day"
    # entered in the same instant: one is still in, the other left; first the former one, then the one that is kept
    began_together = [
        at_once.format(who=who, segment=segment, left="null" if who == stayed else yesterday)
        for segment, stayed in (("hers_still", former), ("kept_still", kept))
        for who in (former, kept)
    ]
    still = f"""insert into analytics.segment_memberships
        select '{kept}', unnest(['hers_still', 'kept_still']), max(as_of) from analytics.clock"""
    earlier = f"""update analytics.segment_membership_history set entered_at = entered_at - interval 2 day
        where profile_id = '{former}' and segment_name = 'lapsed'"""
    before = {row[1]: row[2] for row in history(settings) if row[0] == kept}
    run(
        settings,
        *(f"delete from analytics.{rows}" for rows in mine),
        enter,
        *began_together,
        still,
        earlier,
        stays,
        f"insert into analytics.identity_successions values ('{former}', '{kept}')",
        *clock(1),
    )
    after = {row[1]: row[2:] for row in history(settings) if row[0] == kept}
    assert not [row for row in history(settings) if row[0] == former]
    assert after["lapsed"] == (AS_OF - timedelta(days=2), None)
    assert after["a_segment_of_hers"] == (AS_OF - timedelta(days=1), None)
    assert after["hers_still"] == after["kept_still"] == (AS_OF - timedelta(days=3), None)
    assert len([row for row in history(settings) if row[1] in ("hers_still", "kept_still")]) == 2
    for segment, entered_at in before.items():
        if segment != "lapsed":
            assert after[segment] == (entered_at, None)
    moved = [row for row in transitions(settings) if row[0] == kept]
    assert len(moved) == len({row[1:] for row in moved})
    assert not [row for row in transitions(settings) if row[0] == former]
    assert all(row[-1] <= AS_OF for row in moved), "the stages did not change"
    # the next build finds nothing to do
    run(settings, *clock(2))
    assert {row[1]: row[2:] for row in history(settings) if row[0] == kept} == after


def test_an_event_is_the_same_one_in_every_build(settings: Settings) -> None:
    """Whoever enters after a segment's first build is told of, under one key: in a second build at that as_of, in later
    ones, and when her profile is called otherwise; no more once she has left."""

    def events() -> list[tuple[Any, ...]]:
        names = ("event_id", "profile_id", "segment_name", "occurred_at")
        return [tuple(row[name] for name in names) for row in support.read(settings, "sync_esp__events", "event_id")]

    def build(*statements: str) -> list[tuple[Any, ...]]:
        run(settings, *statements, also=("sync_esp__events",))
        return events()

    inside = {who for who, segment, *_ in history(settings) if segment == "lapsed"}
    members = [row["profile_id"] for row in support.read(settings, "sync_esp__members", "profile_id")]
    ann = next(who for who in members if who not in inside)
    enter = f"insert into analytics.segment_memberships select '{ann}', 'lapsed', max(as_of) from analytics.clock"
    assert events() == []
    first = build(*clock(1), enter)
    (event,) = first
    assert event[1:] == (ann, "lapsed", AS_OF + timedelta(days=1, microseconds=-1))
    assert build() == first
    assert build(*clock(2)) == first
    tables = ("segment_memberships", "int_activation__subscribers", "dim_consent", "lifecycle_stages")
    renamed = build(
        *(f"update analytics.{name} set profile_id = 'renamed' where profile_id = '{ann}'" for name in tables),
        f"insert into analytics.identity_successions values ('{ann}', 'renamed')",
        *clock(3),
    )
    assert renamed == [(event[0], "renamed", *event[2:])]
    assert build("delete from analytics.segment_memberships where profile_id = 'renamed'", *clock(4)) == []
