"""Resources of every job."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from orchestration.dbt_resource import dbt_resource
from orchestration.jobs import MAX_RUNTIME_SECONDS
from orchestration.lease import bury_dead_runs, held_lease, held_turn
from warehouse.settings import Settings


def _is_over(context: dg.InitResourceContext) -> bool:
    """Whether the run has ended: `dagster job execute` makes the resources once more then, to show its result."""
    run = context.instance.get_run_by_id(context.run_id) if context.instance and context.run_id else None
    return run is not None and run.is_finished


@contextlib.contextmanager
def _lease_of(context: dg.InitResourceContext) -> Iterator[None]:
    instance, run_id = context.instance, context.run_id
    if instance is None or run_id is None or instance.is_ephemeral:
        yield
        return
    with held_lease(Path(instance.root_directory), run_id):
        yield


def _clear_away(context: dg.InitResourceContext) -> None:
    """Before this run asks for a place in a pool, which one that was killed may still hold."""
    instance = context.instance
    if instance is not None and not instance.is_ephemeral:
        bury_dead_runs(instance, Path(instance.root_directory))


class RunLease(dg.ConfigurableResource[Any]):
    """Holds the run's lease (see `orchestration.lease`) from its first op to its last."""

    _left: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLease"]:
        if _is_over(context):
            yield self
            return
        with _lease_of(context), self._left:
            _clear_away(context)
            yield self

    def closing(self, events: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """The same events, whose generator is closed at the latest when the run ends.

        Dagster may stop a run while it handles an event: then it drops the generator that waits to give the next
        one, and nothing of its `finally` runs for as long as somebody keeps the error's traceback.
        """
        self._left.callback(events.close)
        return events


class Turn(dg.ConfigurableResource[Any]):
    """Holds the schema's turn (see `orchestration.lease.held_turn`) from a run's first op to its last."""

    path: str

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Turn"]:
        if _is_over(context):
            yield self
            return
        tell = context.log.warning if context.log else print
        # the lease comes first: who waits for its turn is alive
        with _lease_of(context), held_turn(Path(self.path), tell, MAX_RUNTIME_SECONDS):
            _clear_away(context)  # once more: the run that this one waited for may have been killed
            yield self


def turn_path(settings: Settings) -> Path:
    """Beside the warehouse: installations that share one share its turns."""
    return settings.lock_path.with_suffix(f".{settings.schema}.turn")


def resources(settings: Settings) -> dict[str, Any]:
    """By name."""
    return {"dbt": dbt_resource(settings), "lease": RunLease(), "turn": Turn(path=str(turn_path(settings)))}
