"""One asset per model: it trains, evaluates and scores, and shows its metrics."""

from typing import Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.freshness import freshness_of
from orchestration.names import (
    CHURN_KEY,
    ENGAGEMENT_JOB_KEY,
    LIFETIME_VALUE_KEY,
    ML_GROUP,
    MODELS_OF_JOB,
    RECOMMENDATIONS_KEY,
    SEND_TIME_KEY,
    TEAM_OF_GROUP,
    WRITER_POOL,
    numbers_of,
)
from warehouse.settings import Settings

DESCRIPTIONS = {
    "recommendations": "Candidate products per profile (the personal rung), by item-to-item scores and own repeats.",
    "churn": "Calibrated probability that a buyer does not buy within the horizon, with its band.",
    "lifetime_value": "How often, when and for how much each buyer will buy again (BG/NBD and Gamma-Gamma, or trees).",
    "send_time": "At which hour and on which weekday each person most probably clicks, shrunk towards everybody's.",
    "engagement": "Calibrated probability that each person opens, and clicks, the next mail.",
}
KEYS = {
    "recommendations": RECOMMENDATIONS_KEY,
    "churn": CHURN_KEY,
    "lifetime_value": LIFETIME_VALUE_KEY,
    "send_time": SEND_TIME_KEY,
    "engagement": ENGAGEMENT_JOB_KEY,
}


def job_metadata(report: dict[str, Any]) -> dict[str, Any]:
    """A job's report as metadata; a skipped job says why."""
    metadata = numbers_of(report)
    return {name: value for name, value in metadata.items() if value != ""}


def _job_asset(settings: Settings, job: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=KEYS[job],
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
            from ml_jobs.job import run

            report = run(job_named(job), settings, context.log.info)
        return dg.MaterializeResult(metadata=job_metadata(report.to_dict()))

    return train_and_score


def ml_definitions(settings: Settings) -> list[dg.AssetsDefinition]:
    """All jobs."""
    return [_job_asset(settings, job) for job in MODELS_OF_JOB]
