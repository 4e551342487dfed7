"""Sensors: new raw files, and runs that failed."""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from orchestration.alerts import Alert, alert_of, send_alert
from orchestration.jobs import SEGMENTS_REFRESH
from orchestration.landing import compare, file_sha256, from_cursor, landed_files, run_key, settled, to_cursor
from warehouse.settings import Settings


def landing_sensor(settings: Settings) -> dg.SensorDefinition:
    """Asks for a `segments_refresh` when a file with new content lies in the landing folder."""

    @dg.sensor(
        name="new_raw_files",
        job_name=SEGMENTS_REFRESH,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks for a refresh when a file with new content lies in the landing folder.",
    )
    def new_raw_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        folder = settings.landing_dir
        now = settled(landed_files(folder), time.time_ns())
        remember, fresh = compare(from_cursor(context.cursor), now, lambda name: file_sha256(folder / name))
        if not fresh:
            return dg.SensorResult(skip_reason=f"Nothing new in {folder}.", cursor=to_cursor(remember))
        request = dg.RunRequest(run_key=run_key(remember, fresh), tags={"mailwright/new_files": str(len(fresh))})
        return dg.SensorResult(run_requests=[request], cursor=to_cursor(remember))

    return new_raw_files


def failure_sensor(jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Tells people about a failed run of one of these jobs."""

    @dg.run_failure_sensor(
        name="failure_alert",
        monitored_jobs=list(jobs),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Posts a failed run to MAILWRIGHT_ALERT_WEBHOOK, or writes it to the log.",
    )
    def failure_alert(context: dg.RunFailureSensorContext) -> None:
        steps = [
            (event.step_key or "run", event.step_failure_data.error)
            for event in context.get_step_failure_events()
            if event.is_step_failure
        ]
        alert: Alert = alert_of(context.dagster_run.job_name, context.dagster_run.run_id, steps)
        send_alert(alert, log=context.log.error)

    return failure_alert
