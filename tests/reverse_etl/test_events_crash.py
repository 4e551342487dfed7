"""SIGKILL while events go out: with a key each arrives once, without one at most once, and what is unknown stays so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.reverse_etl.events_world import EVENTS, LATER, Happening, states, write_events
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import API_KEY as KLAVIYO_KEY
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import API_KEY, Person, World, hash_of, small_declaration, write_models
from warehouse.settings import PROJECT_DIR, Settings

RUN = """
import os, sys
from pathlib import Path
from reverse_etl.connect import make_destination
from reverse_etl.runner import sync
from warehouse.settings import Settings

settings = Settings(home=Path(sys.argv[1]), target="prod", lock_timeout_seconds=30)
sync(settings, "small", gate=lambda con, settings: None, destination=make_destination(sys.argv[2]))
"""
PEOPLE = [Person(f"p{n:02}@shop.test") for n in range(20)]
NEWS = [Happening(person.email) for person in PEOPLE]


def _killed(settings: Settings, kind: str, failpoint: str, **environment: str) -> None:
    command = [sys.executable, "-c", RUN, str(settings.home), kind]
    variables = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "MAILWRIGHT_FAILPOINT": failpoint, **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("failpoint", "doubtful", "arrived"),
    [("sync.before_send", 16, 4), ("sync.answered_uncommitted", 16, 20), ("sync.committed", 0, 20)],
)
def test_without_a_key_what_was_under_way_stays_in_doubt(
    closed_world: World, failpoint: str, doubtful: int, arrived: int
) -> None:
    world = closed_world
    small_declaration(world.settings, events=EVENTS, guards={"max_events": 100})
    world.sync_name = "small"
    world.desire(*PEOPLE)
    write_events(world.settings)
    world.sync()
    world.desire(*PEOPLE, as_of=LATER)
    write_events(world.settings, NEWS)
    environment = {
        "MAILCHIMP_API_KEY": API_KEY,
        "MAILCHIMP_LIST_ID": "mwdemolist",
        "MAILCHIMP_BASE_URL": world.twin.url,
    }
    _killed(world.settings, "mailchimp", failpoint, **environment)
    report = world.sync()
    assert report.is_complete
    assert report.events_in_doubt == doubtful
    told = [len(world.twin.store.events.of(hash_of(person.email))) for person in PEOPLE]
    assert (max(told), sum(told)) == (1, arrived)
    assert sorted(states(world).values()) == ["confirmed"] * (20 - doubtful) + ["in_doubt"] * doubtful
    assert world.sync().writes == 0
    check_folds(world.rows)


@pytest.mark.parametrize("failpoint", ["sync.before_send", "sync.answered_uncommitted"])
def test_with_a_key_each_arrives_once(settings: Settings, klaviyo: KlaviyoServer, failpoint: str) -> None:
    world = KlaviyoWorld(settings, klaviyo)
    klaviyo_declaration(settings, events=EVENTS, guards={"max_events": 100})
    write_models(settings, PEOPLE)
    write_events(settings)
    world.sync()
    write_models(settings, PEOPLE, LATER)
    write_events(settings, NEWS)
    environment = {"KLAVIYO_API_KEY": KLAVIYO_KEY, "KLAVIYO_LIST_ID": "KlDemo", "KLAVIYO_BASE_URL": klaviyo.url}
    _killed(settings, "klaviyo", failpoint, **environment)
    report = world.sync()
    assert (report.events, report.events_in_doubt, report.is_complete) == (20, 0, True)
    while klaviyo.store.open_jobs():
        klaviyo.door.worker.tick()
    profiles = [klaviyo.profile(person.email) for person in PEOPLE]
    assert [len(klaviyo.store.events.of(profile.id)) for profile in profiles if profile] == [1] * 20
    assert set(states(world).values()) == {"confirmed"}
    check_folds(world.rows)
