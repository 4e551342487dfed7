"""SIGKILL while the destination is silent, and the twin dying half-way: the next run starts unaided and converges.

Kills at other instants, at each vendor: `conformance/test_sigkill.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.errors import DestinationDown, LeaseHeld, NoAnswer
from reverse_etl.runner import sync
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.world import API_KEY, Person, World, open_gate, small_declaration, write_models
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

RUN = """
import sys
from pathlib import Path
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.runner import sync
from warehouse.settings import Settings

home, url, key, list_id = sys.argv[1:]
settings = Settings(home=Path(home), target="prod", lock_timeout_seconds=30)
sync(settings, "small", gate=lambda con, settings: None, destination=Mailchimp(key, list_id, base_url=url))
"""
PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip", "cart"), {"city": "A"}) for n in range(5)]


def test_killed_while_the_destination_is_silent(closed_world: World) -> None:
    """Really sent, really unanswered: the twin has it, the process dies waiting."""
    world = closed_world
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(*PEOPLE)
    world.twin.faults.add("hang", method="POST", path="lists/[a-z]+$")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR)}
    command = [sys.executable, "-c", RUN, str(world.settings.home), world.twin.url, API_KEY, DEFAULT_LIST]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while world.twin.status("p0@shop.test") is None and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(LeaseHeld, match="under way"):
        world.sync()  # it is alive: two at once are impossible
    process.kill()
    process.wait(10)
    assert {world.twin.status(p.email) for p in PEOPLE} == {"subscribed"}
    report = world.sync()
    assert (report.created, report.updated, report.entering) == (0, 5, 10)
    assert world.sync().writes == 0
    check_folds(world.rows)


def test_the_twin_dies_half_way_and_comes_back(tmp_path: Path, settings: Settings) -> None:
    """Three requests into the sending the destination's process ends; it comes back on its port with its state."""
    people = [Person(f"p{n:04}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(1200)]
    small_declaration(settings)
    write_models(settings, people)
    state = tmp_path / "twin.sqlite"
    port = 0
    for turn in range(2):
        command = [sys.executable, "-m", "sandbox.twins.mailchimp", "--port", str(port), "--state", str(state)]
        twin = subprocess.Popen([*command, "--api-key", API_KEY], stdout=subprocess.PIPE, text=True)
        try:
            assert twin.stdout is not None
            ready = json.loads(twin.stdout.readline())
            port = httpx.URL(ready["url"]).port or 0
            root = ready["url"].removesuffix("/3.0")
            target = Mailchimp(API_KEY, DEFAULT_LIST, base_url=ready["url"], sleep=lambda _: None)
            if turn == 0:
                fault = {"kind": "die", "method": "POST", "path": f"lists/{DEFAULT_LIST}$", "skip": 1}
                httpx.post(f"{root}/__twin__/faults", json=[fault])
                with pytest.raises((DestinationDown, NoAnswer)) as caught:
                    sync(settings, "small", gate=open_gate, destination=target)
                assert caught.value.exit_code == 5
                assert "@" not in str(caught.value)
            else:
                report = sync(settings, "small", gate=open_gate, destination=target)
                assert report.is_complete
                again = sync(settings, "small", gate=open_gate, destination=target)
                assert again.writes == 0
                assert (again.unchanged, again.memberships_unchanged) == (1200, 1200)
                query = {"status": "subscribed", "count": 1}
                shown = httpx.get(f"{ready['url']}/lists/{DEFAULT_LIST}/members", auth=("x", API_KEY), params=query)
                assert shown.json()["total_items"] == 1200
            target.close()
        finally:
            twin.kill()
            twin.wait(10)
    with connect(settings) as con:
        assert con.execute("select status from ledger.sync_runs order by started_at").fetchall() == [
            ("failed",),
            ("succeeded",),
            ("succeeded",),
        ]
