"""The jobs by name. Their packages, and scikit-learn with them, are imported when a job is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from warehouse.errors import ConfigError

if TYPE_CHECKING:
    from ml_jobs.job import Job

JobName = Literal["recommendations", "churn", "lifetime_value", "send_time", "engagement"]
JOBS: tuple[JobName, ...] = get_args(JobName)


def job_named(name: str) -> Job[Any, Any]:
    """The job with its default config.

    Raises:
        ConfigError: there is none of this name.
    """
    if name == "recommendations":
        from ml_jobs.recommendations.job import RecommendationJob

        return RecommendationJob()
    if name == "churn":
        from ml_jobs.churn.job import ChurnJob

        return ChurnJob()
    if name == "lifetime_value":
        from ml_jobs.lifetime_value.job import LifetimeValueJob

        return LifetimeValueJob()
    if name == "send_time":
        from ml_jobs.send_time.job import SendTimeJob

        return SendTimeJob()
    if name == "engagement":
        from ml_jobs.engagement.job import EngagementJob

        return EngagementJob()
    raise ConfigError(f"There is no job '{name}'.", todo=f"name one of: {', '.join(JOBS)}")
