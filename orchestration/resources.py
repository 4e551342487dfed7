"""Resources of every job."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.dbt_resource import dbt_resource
from orchestration.jobs import MAX_RUNTIME_SECONDS
from orchestration.lease import held_lease, held_turn
from warehouse.settings import Settings


@contextlib.contextmanager
def _lease_of(context: dg.InitResourceContext) -> Iterator[None]:
    instance, run_id = context.instance, context.run_id
    if instance is None or run_id is None or instance.is_ephemeral:
        yield
        return
    with held_lease(Path(instance.root_directory), run_id):
        yield


class RunLease(dg.ConfigurableResource[Any]):
    """Holds the run's lease (see `orchestration.lease`) from its first op to its last."""

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLease"]:
        with _lease_of(context):
            yield self


class Turn(dg.ConfigurableResource[Any]):
    """Holds the schema's turn (see `orchestration.lease.held_turn`) from a run's first op to its last."""

    path: str

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Turn"]:
        tell = context.log.warning if context.log else print
        # the lease comes first: who waits for its turn is alive
        with _lease_of(context), held_turn(Path(self.path), tell, MAX_RUNTIME_SECONDS):
            yield self


def turn_path(settings: Settings) -> Path:
    """Beside the warehouse: installations that share one share its turns."""
    return settings.lock_path.with_suffix(f".{settings.schema}.turn")


def resources(settings: Settings) -> dict[str, Any]:
    """By name."""
    return {"dbt": dbt_resource(settings), "lease": RunLease(), "turn": Turn(path=str(turn_path(settings)))}
