"""What the steps of one plan or sync share, and the wish that it should end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import duckdb

from reverse_etl.connect import open_destination
from reverse_etl.declaration import SyncDeclaration, read_sync
from reverse_etl.destination import Destination
from reverse_etl.errors import Stopped
from warehouse.errors import RefusedError
from warehouse.settings import Settings

Progress = Callable[[str, int, int], None]
"""(what is being done, done so far, of how many)."""


class Gate(Protocol):
    """Refuses (RefusedError) unless every check passed for what the sync reads."""

    def __call__(self, con: duckdb.DuckDBPyConnection, settings: Settings, /) -> object: ...


def silent(_: str, __: int, ___: int) -> None:
    return None


@dataclass(frozen=True)
class SyncContext:
    """What the steps of one plan or sync share."""

    settings: Settings
    declaration: SyncDeclaration
    destination: Destination
    overrides: frozenset[str]
    progress: Progress
    gate: Gate | None = None
    """Asked again in the transaction that compares: the model may have been rebuilt since the run began."""


def new_context(
    settings: Settings,
    sync_name: str,
    destination: Destination | None,
    allow_schema: str | None,
    overrides: Collection[str],
    progress: Progress | None,
) -> SyncContext:
    declaration = read_sync(settings, sync_name)
    if not settings.is_production and allow_schema != settings.schema:
        raise RefusedError(
            f"Schema '{settings.schema}' is not production: its people may be a trial, or the past.",
            where=f"sync '{sync_name}'",
            todo=f"build and sync with the target prod, or allow this one by name: --allow-schema {settings.schema}",
        )
    return SyncContext(
        settings,
        declaration,
        destination or open_destination(declaration),
        frozenset(overrides),
        progress or silent,
    )


class Stopping:
    """Whether this process was asked to end (SIGTERM): a run then finishes what is under way and stops in between."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """From here on SIGTERM is a wish. In another thread than the main one the process's owner has to see to it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._asked.clear()
        before = signal.signal(signal.SIGTERM, lambda *_: self._asked.set())
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            self._asked.clear()  # it was this run that was asked

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def check(self) -> None:
        """
        Raises:
            Stopped: the process was asked to end.
        """
        if self._asked.is_set():
            raise Stopped(
                "The run was asked to end and stopped between two batches.",
                todo="nothing: what was confirmed is kept, the next run does the rest",
            )


stopping = Stopping()
