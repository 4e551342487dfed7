"""Keys, groups, owners and dbt arguments: small pure functions that know neither Dagster nor dbt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DbtStage = Literal["before_ml", "after_ml"]

WRITER_POOL = "warehouse_writer"
"""Every op that writes to the warehouse: one at a time, so that none waits on the writer's lock with a slot in hand."""
HEADLESS_TAG = "mailwright/headless"
"""Tag of runs without Dagster's services."""
AFTER_ML_TAG = "after_ml"
TRAINING_TAG = "mailwright/training"
"""Tag of a run in which a model is trained only where none lives: its value is ONLY_WHERE_NONE."""
ONLY_WHERE_NONE = "only-where-none-lives"
RAW_GROUP = "raw"
ML_GROUP = "ml"
SYNC_GROUP = "syncs"
CONTROL_GROUP = "control"
TEAM_OF_GROUP = {
    RAW_GROUP: "data-platform@mailwright.invalid",
    CONTROL_GROUP: "data-platform@mailwright.invalid",
    ML_GROUP: "data-science@mailwright.invalid",
    SYNC_GROUP: "lifecycle@mailwright.invalid",
}
"""Owners of what is not a dbt model; a model's owner is that of its dbt group."""

NORMALIZED_KEY = ("raw", "identifier_normalized")
RECOMMENDATIONS_KEY = ("ml", "recommendations")
CHURN_KEY = ("ml", "churn")
LIFETIME_VALUE_KEY = ("ml", "lifetime_value")
SEND_TIME_KEY = ("ml", "send_time")
ENGAGEMENT_JOB_KEY = ("ml", "engagement")
KEY_OF_JOB = {
    "recommendations": RECOMMENDATIONS_KEY,
    "churn": CHURN_KEY,
    "lifetime_value": LIFETIME_VALUE_KEY,
    "send_time": SEND_TIME_KEY,
    "engagement": ENGAGEMENT_JOB_KEY,
}
"""Asset of each model job."""
MEASURE_OF_JOB = {
    "recommendations": "hr_at_3",
    "churn": "brier",
    "lifetime_value": "deviance",
    "send_time": "log_loss",
    "engagement": "click_brier",
}
"""The metric by which each is known."""
RULE_KEYS = (("ml", "recommendation_rules"), ("ml", "recommendation_rule_items"))
"""Tables that a build fills from the marketers' file of rules."""
PRODUCER_OF_SOURCE = {
    ("ml", "recommendation_candidates"): RECOMMENDATIONS_KEY,
    ("ml", "churn_predictions"): CHURN_KEY,
    ("ml", "lifetime_value_predictions"): LIFETIME_VALUE_KEY,
    ("ml", "send_time_predictions"): SEND_TIME_KEY,
    ("ml", "engagement_predictions"): ENGAGEMENT_JOB_KEY,
}
"""dbt sources that an asset of another name writes."""

EXPECTATIONS_CHECK = "expectations"
"""Name of the Great Expectations check on every boundary table."""
SIZES_KEY = ("lifecycle_sizes",)
STAGE_SHIFTS_CHECK = "stage_shifts"
"""Name of the check on how the shares of the stages moved since the day before."""
OUTCOMES_KEY = ("model_outcomes",)
EXPOSURE_KEY = ("recommendation_exposure",)
UPLIFT_KEY = ("recommendation_uplift",)
DRIFT_CHECK = "drift"
"""Name of the check on how far each job's newest day is from its model's first."""
EXPOSURE_CHECK = "exposure"
"""Name of the check on how the personal offers are spread over the products."""
UPLIFT_CHECK = "uplift"
"""Name of the check on what people buy who are offered something personal, beside those who are held out."""


def raw_key(table: str) -> tuple[str, ...]:
    """Asset key of a raw table."""
    return ("raw", table)


CONFIRMED_CHECK = "all_confirmed"
REJECTED_CHECK = "rejected_share"
SUPPRESSION_CHECK = "suppression_lag"
AUDIT_CHECK = "audit_drift"


def sync_key(sync_name: str) -> tuple[str, ...]:
    """Asset key of a sync."""
    return ("sync", sync_name)


def engagement_key(sync_name: str) -> tuple[str, ...]:
    """Asset key of what comes back from a sync's account."""
    return ("engagement", sync_name)


def sync_job(sync_name: str) -> str:
    """Name of the job of a sync that has a schedule of its own."""
    return f"sync_{sync_name}"


def dbt_key(props: Mapping[str, Any]) -> tuple[str, ...]:
    """Asset key of a dbt node.

    A source is the asset that writes it (`raw/<table>`, `ml/<job>`); every other node goes by its own name, which is
    unique in the project.
    """
    if props["resource_type"] == "source":
        source = (str(props["source_name"]), str(props["name"]))
        return PRODUCER_OF_SOURCE.get(source, source)
    return (str(props["name"]),)


def dbt_group(props: Mapping[str, Any]) -> str:
    """Group of a dbt node: its first folder (`models/orders/fct_orders.sql` → orders); seeds are `reference`."""
    if props["resource_type"] == "source":
        return RAW_GROUP if props["source_name"] == "raw" else CONTROL_GROUP
    if props["resource_type"] == "seed":
        return "reference"
    folders = list(props["fqn"])[1:-1]
    return str(folders[0]) if folders else "models"


def one_line(text: str | None, fallback: str) -> str:
    """A description that is never empty."""
    return " ".join((text or "").split()) or fallback


def dbt_build_arguments() -> list[str]:
    """Arguments of a build; Dagster adds the selection. Unit tests belong to `make test`, not to each hour."""
    return ["build", "--exclude-resource-type", "unit_test"]


@dataclass(frozen=True)
class DbtSelection:
    """dbt's node selection."""

    select: str
    exclude: str | None = None


def dbt_selection(stage: DbtStage) -> DbtSelection:
    """The two halves of the dbt graph, before and after the predictions."""
    if stage == "before_ml":
        return DbtSelection("fqn:*", f"tag:{AFTER_ML_TAG}")
    return DbtSelection(f"tag:{AFTER_ML_TAG}")


MODELS_OF_JOB: dict[str, tuple[str, ...]] = {
    "recommendations": ("fct_order_lines", "fct_web_events", "dim_products"),
    "churn": ("churn_training_set", "profile_features"),
    "lifetime_value": ("churn_training_set", "profile_features"),
    "send_time": ("send_outcomes", "dim_profiles"),
    "engagement": (
        "engagement_training_set",
        "profile_feature_snapshots",
        "profile_features",
        "send_outcomes",
        "dim_profiles",
    ),
}
"""dbt models that each job reads."""


JOBS_WITH_OUTCOMES = ("recommendations", "churn", "lifetime_value")
"""Jobs whose predictions come true, or not, within a horizon: `model_outcomes` has them."""


def decay_check(job: str) -> str:
    """Name of the check on what came of a job's predictions."""
    return f"{job}_decay"


def api_pool(destination: str, account: str = "") -> str:
    """Pool of the ops that call an account at a vendor: one sync at a time for each of them."""
    return f"{(account or destination).lower()}_api"


def numbers_of(report: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A report as flat metadata: numbers, texts and instants by name; inner mappings with their path; no lists."""
    flat: dict[str, Any] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            flat.update(numbers_of(value, f"{prefix}{name}."))
        elif isinstance(value, bool | int | float | str):
            flat[prefix + name] = value
    return flat
