"""Headless runs: a job from start to end in this process, with its record in DAGSTER_HOME."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from orchestration.names import HEADLESS_TAG
from warehouse.errors import ConfigError
from warehouse.settings import Settings

if TYPE_CHECKING:
    from dagster import EventLogEntry

QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}

OnEvent = Callable[["EventLogEntry"], None]


@dataclass(frozen=True)
class RunReport:
    """How a run ended."""

    job: str
    run_id: str
    success: bool
    seconds: float
    failures: tuple[tuple[str, str], ...] = ()
    """(step, what went wrong)."""
    metadata: dict[str, dict[str, Any]] | None = None
    """Asset → what its materialization said."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def explain(self) -> str:
        """The failures as a short text for people."""
        return "\n".join(f"{step}: {message}" for step, message in self.failures)


def run_job(settings: Settings, job_name: str, on_event: OnEvent | None = None) -> RunReport:
    """Run a job of the asset graph without any service.

    Args:
        settings: the installation and target.
        job_name: `full_refresh`, `segments_refresh`, `train` or `score`.
        on_event: gets each event of the run's log as it is written.

    Raises:
        ConfigError: there is no such job, or the dbt project cannot be parsed.
    """
    from orchestration.build import build_definitions
    from orchestration.home import open_instance
    from orchestration.jobs import jobs_of, own_schedules

    names = [job.name for job in jobs_of(own_schedules(settings))]
    if job_name not in names:
        raise ConfigError(f"There is no job '{job_name}'.", todo=f"choose one of: {', '.join(names)}")
    job = build_definitions(settings).resolve_job_def(job_name)
    started = time.monotonic()
    run_id = str(uuid.uuid4())
    with open_instance(settings) as instance:
        if on_event is not None:
            instance.add_event_listener(run_id, on_event)
        result = job.execute_in_process(
            instance=instance, run_id=run_id, run_config=QUIET, tags={HEADLESS_TAG: "true"}, raise_on_error=False
        )
    return RunReport(
        job=job_name,
        run_id=run_id,
        success=result.success,
        seconds=round(time.monotonic() - started, 1),
        failures=_failures(result),
        metadata=_metadata(result),
    )


def _failures(result: Any) -> tuple[tuple[str, str], ...]:
    from orchestration.alerts import message_of

    failed_checks: dict[str, list[str]] = {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed and check.blocking:
                text = check.description or check.check_name
                failed_checks.setdefault(event.step_key, []).append(f"{check.asset_key.to_user_string()}: {text}")
    return tuple(
        (
            str(event.step_key),
            "; ".join(failed_checks.get(event.step_key, ())) or message_of(event.step_failure_data.error),
        )
        for event in result.all_events
        if event.is_step_failure
    )


def _metadata(result: Any) -> dict[str, dict[str, Any]]:
    from dagster import MarkdownMetadataValue

    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        values = {
            name: value.value
            for name, value in materialization.metadata.items()
            if not isinstance(value, MarkdownMetadataValue)  # plots, for the UI
        }
        found[materialization.asset_key.to_user_string()] = {
            name: value for name, value in values.items() if isinstance(value, bool | int | float | str)
        }
    return found
