"""One asset per model: it trains, evaluates and scores, or scores alone, and shows its metrics."""

from typing import Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.freshness import freshness_of
from orchestration.names import (
    KEY_OF_JOB,
    ML_GROUP,
    MODELS_OF_JOB,
    ONLY_WHERE_NONE,
    TEAM_OF_GROUP,
    TRAINING_TAG,
    WRITER_POOL,
    numbers_of,
)
from orchestration.plots import model_plots
from warehouse.settings import Settings

DESCRIPTIONS = {
    "recommendations": "Candidate products per profile (the personal rung), by item-to-item scores and own repeats.",
    "churn": "Calibrated probability that a buyer does not buy within the horizon, with its band.",
    "lifetime_value": "How often, when and for how much each buyer will buy again (BG/NBD and Gamma-Gamma, or trees).",
    "send_time": "At which hour and on which weekday each person most probably clicks, shrunk towards everybody's.",
    "engagement": "Calibrated probability that each person opens, and clicks, the next mail.",
}


def job_metadata(report: dict[str, Any]) -> dict[str, Any]:
    """A job's report as metadata; a skipped job says why."""
    metadata = numbers_of(report)
    return {name: value for name, value in metadata.items() if value != ""}


def _job_asset(settings: Settings, job: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=KEY_OF_JOB[job],
        deps=[dg.AssetKey([model]) for model in MODELS_OF_JOB[job]],
        group_name=ML_GROUP,
        owners=[TEAM_OF_GROUP[ML_GROUP]],
        kinds={"python", "scikitlearn"},
        description=DESCRIPTIONS[job],
        freshness_policy=freshness_of(ML_GROUP),
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
    )
    def train_and_score(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with translated_errors(context.retry_number):
            from ml_jobs.catalogue import job_named
            from ml_jobs.job import refresh, run

            step = refresh if context.run.tags.get(TRAINING_TAG) == ONLY_WHERE_NONE else run
            report = step(job_named(job), settings, context.log.info)
            plots = model_plots(settings, job, report.model_version) if report.model_version else {}
        shown = {name: dg.MetadataValue.md(image) for name, image in plots.items()}
        return dg.MaterializeResult(metadata={**job_metadata(report.to_dict()), **shown})

    return train_and_score


def ml_definitions(settings: Settings) -> list[dg.AssetsDefinition]:
    """All jobs."""
    return [_job_asset(settings, job) for job in MODELS_OF_JOB]
