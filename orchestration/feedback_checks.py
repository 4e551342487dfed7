"""Checks of the models' feedback: warnings, since what a model says is used until another takes its place."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.names import (
    DRIFT_CHECK,
    EXPOSURE_CHECK,
    EXPOSURE_KEY,
    JOBS_WITH_OUTCOMES,
    KEY_OF_JOB,
    OUTCOMES_KEY,
    UPLIFT_CHECK,
    UPLIFT_KEY,
    WRITER_POOL,
    decay_check,
)
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    from ml_jobs.feedback.watch import Uplift, Watch


def _warning(key: Sequence[str], name: str, trouble: Sequence[str], metadata: dict[str, Any]) -> dg.AssetCheckResult:
    if trouble:
        metadata |= {"what": dg.MetadataValue.md("\n".join(f"- {line}" for line in trouble))}
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key),
        check_name=name,
        passed=not trouble,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(trouble[:3]) or None,
        metadata=metadata,
    )


def drift_result(found: "Watch") -> dg.AssetCheckResult:
    """The newest day of a job beside its model's first."""
    metadata: dict[str, Any] = {"compared": len(found.drift), "over_limit": len(found.drifted)}
    if found.as_of_on is not None:
        metadata |= {"day": str(found.as_of_on), "model_version": str(found.model_version)}
    return _warning(KEY_OF_JOB[found.job], DRIFT_CHECK, found.drifted, metadata)


def decay_result(found: "Watch") -> dg.AssetCheckResult:
    """What came of a job's predictions, beside its back-test."""
    measured = {f"{one.metric} of {one.model_version}": one.value for one in found.outcomes}
    metadata: dict[str, Any] = measured or {"note": "no horizon is over yet"}
    return _warning(OUTCOMES_KEY, decay_check(found.job), found.decayed, metadata)


def exposure_result(settings: Settings) -> dg.AssetCheckResult:
    """How the personal offers of today are spread over the products."""
    with connect(settings, read_only=True, purpose="check the exposure of products") as con:
        rows = con.execute(
            "select n_products, n_offered, top_share, best_sellers_share, gini, is_concentrated "
            f"from \"{settings.schema}\".recommendation_exposure where exposed_by = 'personal'"
        ).fetchall()
    if not rows:
        return _warning(EXPOSURE_KEY, EXPOSURE_CHECK, (), {"note": "nobody is offered anything personal"})
    n_products, n_offered, top_share, best_sellers_share, gini, is_concentrated = rows[0]
    trouble = [f"1 % of the products have {top_share:.0%} of the personal offers"] if is_concentrated else []
    shown = {
        "products": n_products, "offered": n_offered, "top_share": top_share, "best_sellers_share": best_sellers_share,
        "gini": gini,
    }  # fmt: skip
    return _warning(EXPOSURE_KEY, EXPOSURE_CHECK, trouble, shown)


def uplift_result(found: "Sequence[Uplift]") -> dg.AssetCheckResult:
    """The newest day of which the horizon is over, held against those who were held out then."""
    newest = [one for one in found if one.as_of_on == found[-1].as_of_on]
    trouble = [f"{one.measure} of {one.model_version}: {one}" for one in newest if one.is_harmful]
    metadata: dict[str, Any] = {f"{one.measure} of {one.model_version}": str(one) for one in newest}
    if newest:
        metadata |= {"day": str(newest[0].as_of_on)}
    return _warning(
        UPLIFT_KEY, UPLIFT_CHECK, trouble, metadata or {"note": "nobody is held out, or no horizon is over yet"}
    )


def _one_check(
    name: str, key: Sequence[str], description: str, result: Callable[[], dg.AssetCheckResult]
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=name,
        asset=dg.AssetKey(key),
        description=description,
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with translated_errors(context.op_execution_context.retry_number):
            return result()

    return check


def _drift_check(settings: Settings, job: str) -> dg.AssetChecksDefinition:
    def result() -> dg.AssetCheckResult:
        from ml_jobs.feedback.watch import watch

        return drift_result(watch(settings, [job])[0])

    description = "Features, scores and the number of people are as on the model's first day (ml.drift)."
    return _one_check(DRIFT_CHECK, KEY_OF_JOB[job], description, result)


def _decay_check(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name="decay",
        specs=[
            dg.AssetCheckSpec(
                decay_check(job),
                asset=dg.AssetKey(OUTCOMES_KEY),
                description=f"What came of the predictions of {job} is not worse than its back-test.",
            )
            for job in JOBS_WITH_OUTCOMES
        ],
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
    )
    def decay(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with translated_errors(context.op_execution_context.retry_number):
            from ml_jobs.feedback.watch import watch

            found = watch(settings, list(JOBS_WITH_OUTCOMES))
        for one in found:
            yield decay_result(one)

    return decay


def _uplift_check(settings: Settings) -> dg.AssetChecksDefinition:
    def result() -> dg.AssetCheckResult:
        from ml_jobs.feedback.watch import uplifts

        return uplift_result(uplifts(settings))

    description = "People who are offered something personal do not buy less than those who are held out."
    return _one_check(UPLIFT_CHECK, UPLIFT_KEY, description, result)


def feedback_checks(settings: Settings, made: set[tuple[str, ...]]) -> list[dg.AssetChecksDefinition]:
    """Of each job; of the marts where `made`, the keys of the graph, has them: a project of one's own may not."""
    checks = [_drift_check(settings, job) for job in KEY_OF_JOB]
    if OUTCOMES_KEY in made:
        checks.append(_decay_check(settings))
    if EXPOSURE_KEY in made:
        description = "The most offered 1 % of the products have no more than var exposure_max_top_share of the offers."
        checks.append(_one_check(EXPOSURE_CHECK, EXPOSURE_KEY, description, lambda: exposure_result(settings)))
    if UPLIFT_KEY in made:
        checks.append(_uplift_check(settings))
    return checks
