"""Twenty real SIGKILLs, five at each vendor: at failpoints, and while the vendor is answering. After each, the next run
starts unaided, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.conftest import from_template
from tests.reverse_etl.conformance.port import Port
from tests.reverse_etl.conformance.vendors import PORTS
from tests.reverse_etl.world import Person
from warehouse.settings import PROJECT_DIR

RUN = """
import sys, time
time.sleep = lambda seconds: None  # before anything takes it for a default: jobs are not waited for in real time
from pathlib import Path
from reverse_etl.connect import make_destination
from reverse_etl.runner import sync
from warehouse.settings import Settings

settings = Settings(home=Path(sys.argv[1]), target="prod", lock_timeout_seconds=30)
sync(settings, "small", gate=lambda con, settings: None, destination=make_destination(sys.argv[2]))
"""
KILLS = 5


def _people(turn: int) -> list[Person]:
    """In each turn somebody is new, somebody is gone and somebody withdraws; the others change, enter and leave."""
    return [
        Person(
            f"p{n}@shop.test",
            "unsubscribe" if n == turn else "subscribe",
            ("vip",) if (n + turn) % 2 else ("cart",),
            {"city": f"C{turn}"},
        )
        for n in range(turn, turn + 10)
    ]


def _kill_by_the_vendor(port: Port, process: list[int], nth: int) -> None:
    """The process dies when its nth request arrives, which takes effect all the same."""
    counted = [0]
    following = port.twin.faults.next

    def next_fault(method: str, path: str) -> Any:
        counted[0] += 1
        if counted[0] == nth:
            os.kill(process[0], signal.SIGKILL)
        return following(method, path)

    port.twin.faults.next = next_fault


def _killed_run(port: Port, kill: tuple[str, int]) -> None:
    where, nth = kill
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), **port.environment}
    process: list[int] = []
    if where == "request":
        _kill_by_the_vendor(port, process, nth)
    else:
        environment["MAILWRIGHT_FAILPOINT"] = f"{where}:{nth}"
    command = [sys.executable, "-c", RUN, str(port.settings.home), port.vendor]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
        process.append(run.pid)
        _, errors = run.communicate(timeout=120)
    port.twin.faults.__dict__.pop("next", None)
    assert run.returncode == -signal.SIGKILL, (kill, errors)


@pytest.mark.parametrize("vendor", VENDORS)
def test_sigkill(vendor: str, template: Path, tmp_path: Path) -> None:
    chance = Random(f"sigkill/{vendor}")
    # one at each failpoint, as far as there are so many kills; the others while it is answered
    kills = [(name, chance.choice([1, 2])) for name in PORTS[vendor].failpoints()][: KILLS - 1]
    kills += [("request", chance.randint(8, 12)) for _ in range(KILLS - len(kills))]
    port = PORTS[vendor].make(from_template(template, tmp_path / "home"), str(tmp_path / "twin.sqlite"), served=True)
    port.declare(guards={"min_records": 1000})
    with port.twin:
        for turn, kill in enumerate(kills):
            people = _people(turn)
            port.desire(*people)
            _killed_run(port, kill)
            before = set(port.rows("select record_key, sent_hash from ledger.sync_state where state = 'confirmed'"))
            assert port.sync().is_complete
            sent = port.rows(
                """select record_key, sent_hash from ledger.sync_attempts where outcome = 'sent'
                   and sync_run_id = (select arg_max(sync_run_id, started_at) from ledger.sync_runs)"""
            )
            assert before.isdisjoint(sent)
            port.time_passes()
            mailed = {person.email for person in people[1:]}
            assert {port.status(email) for email in mailed} == {"subscribed"}
            assert {port.city(email) for email in mailed} == {f"C{turn}"}
            assert port.status(people[0].email) != "subscribed"
            for segment in ("vip", "cart"):
                inside = {person.email for person in people[1:] if segment in person.segments}
                assert port.inside(f"mw:{segment}") == inside
            port.settled()
        statuses = [row[0] for row in port.rows("select status from ledger.sync_runs order by started_at")]
        assert statuses == ["abandoned", "succeeded", "succeeded"] * KILLS
        assert port.raised == 0
