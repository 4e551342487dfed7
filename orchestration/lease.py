"""A lease that a run's process holds for as long as it lives: how one tells a killed run from a busy one.

A SIGKILLed run leaves "started" in Dagster's storage and, with it, a slot of the pool `warehouse_writer`. An OS lock
per run is freed by the operating system however its holder dies, so whoever comes next can ask.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from warehouse.errors import RetriableError

if TYPE_CHECKING:
    from dagster import DagsterInstance

ENDED = "ended"
GRACE_SECONDS = 60.0
"""Between "started" and taking the lease, and between giving it back and "finished", a run is given this long."""


def lease_path(folder: Path, run_id: str) -> Path:
    """File of a run's lease below Dagster's home."""
    return folder / "leases" / f"{run_id}.lock"


def _note_path(lease: Path) -> Path:
    return lease.with_suffix(".ended")


def _at_the_gate(folder: Path) -> FileLock:
    """Leases are taken and asked after one at a time: a question holds the lock for a moment, and who came to take
    it just then would run without one, and count as dead."""
    gate = folder / "leases" / ".gate.lock"
    gate.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(gate)


@contextlib.contextmanager
def held_lease(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the lease of a run."""
    path = lease_path(folder, run_id)
    lock = FileLock(path)
    # a step's own process (multiprocess executor) finds its parent holding the lease: that is as good
    with _at_the_gate(folder), contextlib.suppress(Timeout):
        _note_path(path).unlink(missing_ok=True)
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        if lock.is_locked:
            _note_path(path).write_text(ENDED, encoding="utf-8")
            lock.release()


@contextlib.contextmanager
def held_turn(path: Path, tell: Callable[[str], None], timeout_seconds: float) -> Iterator[None]:
    """Wait until no other run builds and syncs this schema, then hold that turn.

    Pools order ops; a build, its checks and its sync are several. If another run began a build between them, the
    gate would rightly refuse to sync the first one's.

    Raises:
        RetriableError: the other run did not end in time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell("Another run is building and syncing this schema: waiting for it to end.")
        try:
            lock.acquire(timeout=timeout_seconds, poll_interval=0.5)
        except Timeout:
            raise RetriableError(
                "Another run has been building and syncing this schema for too long.",
                where=str(path),
                todo="look at it in Dagster's UI, or end its process; then run this again",
            ) from None
    try:
        yield
    finally:
        lock.release()


def is_alive(folder: Path, run_id: str, started_at: float, now: float | None = None) -> bool:
    """Whether the process of a run that counts as started still lives.

    Args:
        folder: Dagster's home.
        run_id: the run.
        started_at: when it started (epoch seconds).
        now: epoch seconds; default the wall clock.
    """
    now = time.time() if now is None else now
    path = lease_path(folder, run_id)
    note = _note_path(path)
    with _at_the_gate(folder):
        if note.exists():
            return now - note.stat().st_mtime < GRACE_SECONDS
        if not path.exists():
            return now - started_at < GRACE_SECONDS
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False


def forget(folder: Path, run_id: str) -> None:
    """Remove the files of a lease that nobody needs any more."""
    path = lease_path(folder, run_id)
    for file in (path, _note_path(path)):
        file.unlink(missing_ok=True)


def bury_dead_runs(instance: DagsterInstance, folder: Path) -> list[str]:
    """Mark runs whose process is gone as failed and free their pool slots; returns their ids.

    The run-monitoring daemon does the same where there is one; without it, each run does it before its first op.
    """
    from dagster import DagsterRunStatus, RunsFilter

    dead: list[str] = []
    for record in instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        run = record.dagster_run
        started_at = record.start_time or record.create_timestamp.timestamp()
        if not is_alive(folder, run.run_id, started_at):
            instance.report_run_failed(run, "The process of this run is gone (killed, or the machine went down).")
            dead.append(run.run_id)
    _free_slots_of_finished(instance)
    for run_id in dead:
        forget(folder, run_id)
    return dead


def _free_slots_of_finished(instance: DagsterInstance) -> None:
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
