"""Who counts as alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.lease import GRACE_SECONDS, forget, held_lease, is_alive, lease_path
from warehouse.settings import PROJECT_DIR

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
