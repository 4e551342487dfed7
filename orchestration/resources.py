"""Resources of every job."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.dbt_resource import dbt_resource
from orchestration.lease import held_lease
from warehouse.settings import Settings


class RunLease(dg.ConfigurableResource[Any]):
    """Holds the run's lease (see `orchestration.lease`) from its first op to its last."""

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLease"]:
        instance, run_id = context.instance, context.run_id
        if instance is None or run_id is None or instance.is_ephemeral:
            yield self
            return
        with held_lease(Path(instance.root_directory), run_id):
            yield self


def resources(settings: Settings) -> dict[str, Any]:
    """By name."""
    return {"dbt": dbt_resource(settings), "lease": RunLease()}
