"""The writer's lock: one OS lock that every writer of the warehouse file takes.

DuckDB lets one process write and shuts readers out meanwhile. Rather than fail on that, every writer (command
line, Dagster, dbt's own shell through `warehouse.lock_plugin`) first takes this lock, waiting with a message.
The operating system frees it when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse.errors import ConfigError, RetriableError
from warehouse.settings import Settings

HELD_ENV = "MAILWRIGHT_LOCK_HELD"
"""Set for subprocesses of a holder, so that they do not wait for their own parent."""

_locks: dict[Path, FileLock] = {}
_guard = threading.Lock()


def _tell(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def _lock_of(path: Path) -> FileLock:
    with _guard:
        if path not in _locks:
            # not thread-local: a run's threads share the lock of their process
            _locks[path] = FileLock(path, thread_local=False)
        return _locks[path]


def _holder(path: Path) -> str:
    try:
        return path.with_suffix(".holder").read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"


_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR}


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Said here, where it is known that the folder is at fault and not the file that somebody loads."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        raise ConfigError(
            f"The folder of the warehouse cannot be used: {error.strerror}.",
            where=str(folder),
            todo="give yourself write access (readers need it too, for the lock), or name another folder with --home",
        ) from None


@contextlib.contextmanager
def writer_lock(settings: Settings, purpose: str, *, tell: Callable[[str], None] = _tell) -> Iterator[None]:
    """Hold the warehouse's writer lock; reentrant within a process, and a no-op in a holder's subprocess.

    Raises:
        RetriableError: another writer held it for longer than `settings.lock_timeout_seconds`.
        ConfigError: the folder cannot be made or written to.
    """
    path = settings.lock_path
    if os.environ.get(HELD_ENV) == str(path):
        yield
        return
    with _usable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(path)
    try:
        with _usable(path.parent):
            lock.acquire(timeout=0 if not lock.is_locked else -1)
    except Timeout:
        tell(f"Waiting for the warehouse: {_holder(path)} is writing.")
        try:
            lock.acquire(timeout=settings.lock_timeout_seconds)
        except Timeout:
            raise RetriableError(
                f"The warehouse is still being written to by {_holder(path)} "
                f"after {settings.lock_timeout_seconds:.0f} s of waiting.",
                where=str(settings.warehouse_path),
                todo="let it finish, or end that process; its half-done work rolls back; then run this again",
            ) from None
    try:
        with contextlib.suppress(OSError):
            path.with_suffix(".holder").write_text(f"{purpose} (process {os.getpid()})", encoding="utf-8")
        yield
    finally:
        lock.release()


def child_environment(settings: Settings) -> dict[str, str]:
    """Environment for a subprocess started under the lock."""
    return {HELD_ENV: str(settings.lock_path)}
