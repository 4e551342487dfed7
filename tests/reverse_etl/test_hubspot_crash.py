"""SIGKILL in the middle of a creation at HubSpot: the next run starts unaided, and nobody is left unsubscribed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION
from tests.reverse_etl.contract import ContractTransport
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin, HubSpotWorld, declare, hubspot_contract
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.world import Person
from warehouse.settings import PROJECT_DIR, Settings

RUN = """
import os, signal, sys
from pathlib import Path
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.runner import sync
from warehouse.settings import Settings

home, url, token, subscription_id, die = sys.argv[1:]
if die == "between subscription and contact":
    HubSpot._put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
settings = Settings(home=Path(home), target="prod", lock_timeout_seconds=30)
target = HubSpot(token, subscription_id, base_url=url, sleep=lambda seconds: None)
sync(settings, "small", gate=lambda con, settings: None, destination=target)
"""


@pytest.mark.parametrize(
    ("die", "is_there"),
    [
        ("between subscription and contact", False),
        ("sync.sent_unanswered", True),
        ("sync.answered_uncommitted", True),
    ],
)
def test_sigkill(settings: Settings, tmp_path: Path, die: str, is_there: bool) -> None:
    people = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(3)]
    with HubSpotTwin(tmp_path / "twin.sqlite") as twin:
        world = HubSpotWorld(settings, twin, ContractTransport(hubspot_contract()))
        declare(settings)
        world.desire(*people)
        command = [sys.executable, "-c", RUN, str(settings.home), twin.url, TOKEN, str(DEFAULT_SUBSCRIPTION), die]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR)}
        if die.startswith("sync."):
            environment["MAILWRIGHT_FAILPOINT"] = die
        killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert {twin.store.status(person.email)[0] for person in people} == {"SUBSCRIBED"}
        assert (len(twin.store.contacts()) == 3) is is_there
        report = world.sync()
        assert report.is_complete
        assert (report.created, report.updated) == ((0, 3) if is_there else (3, 0))
        assert {twin.status(person.email) for person in people} == {"subscribed"}
        assert twin.inside("mw:vip") == {person.email for person in people}
        statuses = [row[0] for row in world.rows("select status from ledger.sync_runs order by started_at")]
        assert statuses == ["abandoned", "succeeded"]
        assert world.sync().writes == 0
        _ledger_folds(world)
