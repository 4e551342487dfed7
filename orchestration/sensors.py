"""Sensors: new raw files, models that decay, and runs that failed."""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg

from orchestration.alerts import Alert, alert_of, send_alert
from orchestration.jobs import SEGMENTS_REFRESH, TRAIN
from orchestration.landing import compare, file_sha256, from_cursor, landed_files, run_key, settled, to_cursor
from orchestration.names import KEY_OF_JOB
from warehouse.errors import DataError, RetriableError
from warehouse.settings import Settings

WHY_CHARACTERS = 200


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


def decay_sensor(settings: Settings) -> dg.SensorDefinition:
    """Asks for the training of a job whose newest day is unlike its model's first, or whose predictions did not come
    true: once for each day, and not where a training has answered (`Watch.is_answered`)."""

    @dg.sensor(
        name="model_decay",
        job_name=TRAIN.name,
        minimum_interval_seconds=600,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks for a training when a model's data drift, or its predictions do not come true.",
    )
    def model_decay(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from ml_jobs.feedback.watch import watch

        try:
            found = watch(settings, list(KEY_OF_JOB))
        except (RetriableError, DataError) as error:
            return dg.SensorResult(skip_reason=error.what)
        requests = [
            dg.RunRequest(
                run_key=f"{one.job}:{one.as_of_on}",
                asset_selection=[dg.AssetKey(KEY_OF_JOB[one.job])],
                tags={"mailwright/why": "; ".join(one.reasons_to_train)[:WHY_CHARACTERS]},
            )
            for one in found
            if one.reasons_to_train
        ]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "No model decays.")

    return model_decay


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
