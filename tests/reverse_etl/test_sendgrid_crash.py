"""SIGKILL while SendGrid has a job: the next run asks how it ended, and sends nothing again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reverse_etl.conftest import sendgrid_transport
from tests.reverse_etl.sendgrid_world import SENDGRID_KEY, SendGridTwin, SendGridWorld, declare
from tests.reverse_etl.test_faults import _ledger_folds
from tests.reverse_etl.world import Person
from warehouse.settings import PROJECT_DIR, Settings

RUN = """
import sys
from pathlib import Path
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.runner import sync
from warehouse.settings import Settings

home, url, key = sys.argv[1:]
settings = Settings(home=Path(home), target="prod", lock_timeout_seconds=30)
target = SendGrid(key, base_url=url, sleep=lambda seconds: None)
sync(settings, "small", gate=lambda con, settings: None, destination=target)
"""


@pytest.mark.parametrize("failpoint", ["sync.committed", "sync.polled_uncommitted", "sync.polled_uncommitted:2"])
def test_sigkill(settings: Settings, tmp_path: Path, failpoint: str) -> None:
    people = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(5)]
    with SendGridTwin(tmp_path / "twin.sqlite") as twin:
        world = SendGridWorld(settings, twin, sendgrid_transport())
        declare(settings)
        world.desire(*people)
        command = [sys.executable, "-c", RUN, str(settings.home), twin.url, SENDGRID_KEY]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "MAILWRIGHT_FAILPOINT": failpoint}
        killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert world.rows("select distinct state from ledger.sync_state") == [("accepted",)]
        report = world.sync()
        assert report.is_complete
        assert (report.created, report.entering) == (5, 5)
        assert [len(job.payload["contacts"]) for job in twin.store.jobs()] == [5, 5]  # the people, their memberships
        assert twin.inside("mw:vip") == {person.email for person in people}
        statuses = [row[0] for row in world.rows("select status from ledger.sync_runs order by started_at")]
        assert statuses == ["abandoned", "succeeded"]
        assert world.sync().writes == 0
        _ledger_folds(world)
