"""Trainings as of past days, a partition each: to be back-filled in the UI.

Each builds the features of its day into a schema of its own, as `mailwright build --as-of` does, and trains on them:
the back-test is the one that people would have seen then. Its numbers are kept, the schema is not. Production's clock,
registry and predictions are not touched.
"""

from typing import Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.names import KEY_OF_JOB, WRITER_POOL, numbers_of
from warehouse.settings import Settings

FIRST_DAY = "2000-01-01"
"""No shop's data are older; a day without data ends with a clear message."""


def train_as_of_job(settings: Settings, tags: dict[str, str]) -> dg.JobDefinition:
    """The job `train_as_of`."""

    @dg.op(
        name="build_and_train",
        description="Build the features as of the day's first instant (UTC), and train and back-test every model.",
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
        out=dg.Out(dg.Nothing),
    )
    def train_past(context: dg.OpExecutionContext) -> None:
        with translated_errors(context.retry_number):
            context.add_output_metadata(train_as_of(settings, context.partition_key, context.log.info))

    @dg.job(
        name="train_as_of",
        description="Back-tests as of past days: one day for each partition, in a schema of its own.",
        partitions_def=dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC"),
        tags=tags,
    )
    def job() -> None:
        train_past()

    return job


def train_as_of(settings: Settings, day: str, tell: Any) -> dict[str, Any]:
    """Build and train as of `day`; the reports of all jobs as flat metadata.

    They are what it is for: the day's schemas and files, which take the room of a build, go when it ends, or fails.
    Those of a run that was killed go when the day is filled again.

    Raises:
        DataError: a model or a test failed.
    """
    from ingest.normalize import normalize_identifiers
    from ml_jobs.catalogue import job_named
    from ml_jobs.job import train
    from warehouse.build import build, forget_past, settings_as_of
    from warehouse.clock import parse_instant

    instant = parse_instant(day)
    past = settings_as_of(settings, instant, "train")
    normalize_identifiers(settings)
    found: dict[str, Any] = {}
    try:
        build(past, "before_ml", instant)
        for name in KEY_OF_JOB:
            report = train(job_named(name), past, tell)
            found |= numbers_of(report.to_dict(), f"{name}.")
    finally:
        forget_past(past)
    return {name: value for name, value in found.items() if value != ""}
