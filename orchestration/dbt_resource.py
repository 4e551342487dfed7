"""dbt for Dagster: the same executable, environment, target folder and lock as the command line's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import version as installed_version
from typing import Any

from dagster_dbt import DbtCliResource
from packaging.version import Version

from warehouse.dbt import dbt_environment, dbt_executable
from warehouse.lock import child_environment
from warehouse.settings import Settings


class WarehouseDbt(DbtCliResource):
    """`DbtCliResource` without its two start-up costs.

    dagster-dbt 0.29 asks `dbt --version` in a subprocess and makes an adapter in our own process for each
    invocation: together 5 CPU seconds, for column metadata that we do not fetch, and an adapter that may open the
    warehouse file from a process that must not hold it.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Any) -> Any:
        return None


def dbt_resource(settings: Settings) -> WarehouseDbt:
    """The resource of one installation and target."""
    return WarehouseDbt(
        project_dir=str(settings.dbt_project_dir),
        profiles_dir=str(settings.dbt_project_dir),
        target=settings.target,
        dbt_executable=dbt_executable(),
        global_config_flags=["--no-use-colors"],
    )


@contextlib.contextmanager
def child_process_environment(settings: Settings) -> Iterator[None]:
    """Environment for the moment in which `DbtCliResource.cli` starts its subprocess: it copies `os.environ`."""
    changes: Mapping[str, str] = {**dbt_environment(settings), **child_environment(settings)}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
