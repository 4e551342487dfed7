"""Who counts as alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from orchestration.home import open_instance
from orchestration.lease import GRACE_SECONDS, forget, held_lease, held_turn, is_alive, lease_path
from orchestration.names import WRITER_POOL
from orchestration.resources import RunLease, Turn
from warehouse.settings import PROJECT_DIR, Settings

RUN = "run-1"
HOLD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from orchestration.lease import held_lease
with held_lease(Path(sys.argv[1]), sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_holder_is_alive(tmp_path: Path) -> None:
    with held_lease(tmp_path, RUN):
        assert is_alive(tmp_path, RUN, started_at=0)


def test_a_killed_holder_is_dead_at_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HOLD_AND_DIE, str(tmp_path), RUN], cwd=PROJECT_DIR, check=False)
    assert done.returncode == -9
    assert not is_alive(tmp_path, RUN, started_at=0)


def test_one_that_gave_the_lease_back_has_a_moment_to_say_that_it_is_done(tmp_path: Path) -> None:
    with held_lease(tmp_path, RUN):
        pass
    ended = lease_path(tmp_path, RUN).with_suffix(".ended").stat().st_mtime
    assert is_alive(tmp_path, RUN, started_at=0, now=ended + GRACE_SECONDS - 1)
    assert not is_alive(tmp_path, RUN, started_at=0, now=ended + GRACE_SECONDS + 1)


def test_one_that_has_just_started_has_a_moment_to_take_the_lease(tmp_path: Path) -> None:
    assert is_alive(tmp_path, RUN, started_at=100, now=100 + GRACE_SECONDS - 1)
    assert not is_alive(tmp_path, RUN, started_at=100, now=100 + GRACE_SECONDS + 1)


def test_a_step_process_of_the_same_run_does_not_wait_for_its_parent(tmp_path: Path) -> None:
    with held_lease(tmp_path, RUN), held_lease(tmp_path, RUN):
        assert is_alive(tmp_path, RUN, started_at=0)
    forget(tmp_path, RUN)
    assert not lease_path(tmp_path, RUN).exists()


def test_nobody_takes_a_lease_while_another_is_asked_after(tmp_path: Path) -> None:
    """Who came to take it in the moment of a question would go on without one."""
    with held_lease(tmp_path, "before"):
        gate = FileLock(tmp_path / "leases" / ".gate.lock")
    with gate:
        taker = subprocess.Popen([sys.executable, "-c", HOLD_AND_DIE, str(tmp_path), RUN], cwd=PROJECT_DIR)
        with pytest.raises(subprocess.TimeoutExpired):
            taker.wait(1)
        assert not lease_path(tmp_path, RUN).exists()
    assert taker.wait(60) == -9
    assert lease_path(tmp_path, RUN).exists()


@pytest.mark.parametrize("name", ["lease", "turn"])
def test_a_run_clears_away_a_killed_one_before_its_first_op(settings: Settings, tmp_path: Path, name: str) -> None:
    """Else it would wait for ever for the place in the pool that the killed one still holds."""
    with open_instance(settings) as instance:
        killed = dg.DagsterRun(job_name="train", run_id="killed", status=dg.DagsterRunStatus.STARTED)
        instance.add_run(killed)
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(WRITER_POOL)
        assert storage.claim_concurrency_slot(WRITER_POOL, "killed", "ml__churn").is_claimed
        subprocess.run([sys.executable, "-c", HOLD_AND_DIE, str(settings.dagster_home), "killed"], cwd=PROJECT_DIR)
        made = {"lease": RunLease(), "turn": Turn(path=str(tmp_path / "turn"))}[name]
        run = dg.DagsterRun(job_name="train", run_id="next")
        with dg.build_resources({name: made}, instance=instance, dagster_run=run):
            assert storage.claim_concurrency_slot(WRITER_POOL, "next", "ml__churn").is_claimed
        stored = instance.get_run_by_id("killed")
        assert stored is not None
        assert stored.status is dg.DagsterRunStatus.FAILURE


@pytest.mark.timeout(60)
def test_a_run_that_is_over_waits_for_no_turn(settings: Settings, tmp_path: Path) -> None:
    """`dagster job execute` makes the resources once more when the run has ended."""
    with open_instance(settings) as instance, held_turn(tmp_path / "turn", print, 0):
        run = dg.DagsterRun(job_name="train", run_id="over", status=dg.DagsterRunStatus.SUCCESS)
        instance.add_run(run)
        with dg.build_resources({"turn": Turn(path=str(tmp_path / "turn"))}, instance=instance, dagster_run=run):
            assert not lease_path(settings.dagster_home, "over").exists()
