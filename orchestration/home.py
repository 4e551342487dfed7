"""DAGSTER_HOME of an installation: storage, logs and the instance's configuration, all below `settings.home`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from warehouse.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

CONFIG_NAME = "dagster.yaml"
STORAGE_MADE = "storage.made"
"""Empty file: the storage of this home was made, by one process from start to end."""


def ensure_dagster_home(settings: Settings) -> Path:
    """Make the folder, the project's `dagster.yaml` in it and the storage; returns it, ready to be DAGSTER_HOME.

    The file is a copy that follows the project's: nothing is ever written into the project.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    wanted = (settings.project_dir / CONFIG_NAME).read_text(encoding="utf-8")
    path = home / CONFIG_NAME
    if not path.exists() or path.read_text(encoding="utf-8") != wanted:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(wanted, encoding="utf-8")
        temporary.replace(path)
    _make_storage(home)
    return home


def _make_storage(home: Path) -> None:
    """Make Dagster's SQLite files while no other process does.

    Dagster 1.13 does not exclude that: two first starts at once can stamp `alembic_version` twice, and from then on
    every process ends with "more than one head present".
    """
    made = home / STORAGE_MADE
    if made.exists():
        return
    from dagster import DagsterInstance

    with FileLock(home / "storage.lock"):
        if not made.exists():
            with DagsterInstance.from_config(str(home), CONFIG_NAME):
                made.touch()


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Environment for a `dagster` subprocess on this installation."""
    named = {f"MAILWRIGHT_{name.upper()}": str(value) for name, value in settings if value is not None}
    return {**named, "DAGSTER_HOME": str(ensure_dagster_home(settings)), "DO_NOT_TRACK": "1"}


@contextlib.contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The Dagster instance of this installation, with the runs of killed processes cleared away."""
    from dagster import DagsterInstance

    from orchestration.lease import bury_dead_runs

    home = ensure_dagster_home(settings)
    with DagsterInstance.from_config(str(home), CONFIG_NAME) as instance:
        bury_dead_runs(instance, home)
        yield instance
