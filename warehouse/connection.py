"""Short-lived connections to the warehouse file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from warehouse.errors import DataError, RetriableError
from warehouse.lock import writer_lock
from warehouse.settings import Settings


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "lock" in str(error).lower()


def _open(path: Path, read_only: bool, config: dict[str, str | int], patience: float) -> duckdb.DuckDBPyConnection:
    retrying = Retrying(
        retry=retry_if_exception(_is_busy),
        wait=wait_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(patience),
        reraise=True,
    )
    try:
        return retrying(duckdb.connect, str(path), read_only=read_only, config=config)
    except duckdb.Error as error:
        if _is_busy(error):
            raise RetriableError(
                "The warehouse file is open in another process.",
                where=str(path),
                todo="close that process (a BI tool or shell should open the snapshot beside it), then run this again",
            ) from None
        raise DataError(
            f"The warehouse file cannot be opened: {str(error).splitlines()[0]}",
            where=str(path),
            todo="restore the last backup with `mailwright restore`, or move the file away to start anew",
        ) from None


@contextlib.contextmanager
def connect(
    settings: Settings, *, read_only: bool = False, purpose: str = "mailwright"
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one short piece of work; closed at the end, so that others get their turn.

    A writer holds the OS lock meanwhile. A reader waits for a writer to finish. Time zone is UTC.

    Raises:
        RetriableError: the file stayed busy for longer than the lock's time-out.
        DataError: there is no warehouse yet (reader), or the file is not one.
    """
    path = settings.warehouse_path
    config: dict[str, str | int] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "true",
    }
    if read_only and not path.exists():
        raise DataError(
            "There is no warehouse yet.",
            where=str(path),
            todo="run `mailwright demo`, or `mailwright load PATH`",
        )
    with writer_lock(settings, purpose):
        path.parent.mkdir(parents=True, exist_ok=True)
        con = _open(path, read_only, config, settings.lock_timeout_seconds)
        try:
            # the bar of a long query would go to standard output, among what `--json` prints
            con.execute("set timezone = 'UTC'; set enable_progress_bar = false")
            yield con
        finally:
            con.close()
