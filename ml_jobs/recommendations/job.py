"""The recommendation job: train (fit, back-test, register) and score (top candidates per profile)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs import registry
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.io import clear_predictions, replace_predictions
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.evaluate import evaluate
from ml_jobs.recommendations.features import Interactions, history_at, in_items_of, read_interactions
from ml_jobs.recommendations.score import REASONS, Candidates, top_candidates
from ml_jobs.recommendations.train import ItemModel, fit
from ml_jobs.report import JobReport, OnProgress, in_one, tell
from warehouse.clock import utcnow
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

JOB = "recommendations"
TABLE = "recommendation_candidates"


def train(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """Fit on everything before the clock's `as_of`, back-test on the newest window, and register the model.

    Raises:
        FeatureTableError: a relation or columns are missing.
    """
    config = config or RecommendationConfig()
    as_of = registry.begin(settings)
    params = config.model_dump(mode="json")
    tell(on_progress, "recommendations: reading purchases and views")
    data = read_interactions(settings, as_of, config)
    try:
        _refuse_too_little(data)
    except TrainingRefusedError as error:
        tell(on_progress, f"recommendations: skipped, {error}")
        registry.record_refusal(settings, JOB, as_of, params, str(error))
        return JobReport(JOB, "skipped", as_of, reason=str(error))
    tell(on_progress, f"recommendations: back-test ({len(data.bought):,} purchases, {len(data.viewed):,} views)")
    evaluation = evaluate(data, config)
    model = fit(history_at(data, data.as_of, config), data.product_ids, config, evaluation.blend_weight)
    version = registry.content_version(JOB, params, as_of.isoformat(), _digest(data))
    n_train = len(data.bought) + len(data.viewed)
    run = registry.ModelRun(
        model_version=version,
        job=JOB,
        as_of=as_of,
        trained_at=utcnow(),
        params=params,
        metrics=evaluation.metrics,
        artefact_sha256=registry.save_artefact(settings, model.to_dict()),
        n_train=n_train,
        n_test=evaluation.n_test,
    )
    registry.record_run(settings, run)
    return JobReport(JOB, "trained", as_of, version, evaluation.metrics, n_train, evaluation.n_test)


def score(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """Replace the candidates of everyone with purchases or views, by the newest model that is not of the future.

    Without a model the table is emptied: candidates of another day must not pass for today's.

    Raises:
        FeatureTableError: a relation or columns are missing.
        ArtefactError: the model's file is missing or was changed.
    """
    import numpy as np

    config = config or RecommendationConfig()
    as_of = registry.begin(settings)
    run = registry.newest_run_of(settings, JOB, as_of)
    if run is None:
        clear_predictions(settings, TABLE)
        return JobReport(JOB, "skipped", as_of, reason="there is no trained model yet")
    model = ItemModel.from_dict(registry.load_artefact(settings, run))
    data = in_items_of(read_interactions(settings, as_of, config), model.product_ids)
    history = history_at(data, data.as_of, config)
    people = np.flatnonzero(history.purchases.getnnz(axis=1) + history.views.getnnz(axis=1))
    tell(on_progress, f"recommendations: scoring {len(people):,} profiles × {len(model.product_ids):,} products")
    best = top_candidates(model, history, people, data.is_eligible, config.n_candidates, config.chunk_profiles)
    replace_predictions(settings, TABLE, prediction_rows(data, best, run, as_of), purpose="score recommendations")
    n_scored = len(np.unique(best.profile))
    return JobReport(JOB, "scored", as_of, run.model_version, run.metrics, run.n_train, run.n_test, n_scored)


def run(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """Train, then score; if training is refused, an earlier model (if any) scores, and the report says why."""
    trained = train(settings, on_progress, config)
    return in_one(trained, score(settings, on_progress, config))


def prediction_rows(data: Interactions, best: Candidates, run: registry.ModelRun, as_of: datetime) -> pa.Table:
    """Candidates as rows of recommendation_candidates; texts as dictionaries, so that millions of rows stay small."""
    import numpy as np
    import pyarrow as pa

    n = len(best.profile)
    n_products = len(data.product_ids)
    # one text per (kind of reason, evidence), not one per row
    kinds, inverse = np.unique(best.reason.astype(np.int64) * max(n_products, 1) + best.evidence, return_inverse=True)
    texts = [REASONS[key // n_products].format(product=data.product_names[key % n_products]) for key in kinds]

    def encoded(codes: np.ndarray, values: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values, pa.string()))

    return pa.table(
        {
            "profile_id": encoded(best.profile, data.profile_ids.tolist()),
            "product_id": encoded(best.product, data.product_ids.tolist()),
            "rank": pa.array(best.rank, pa.int64()),
            "score": pa.array(best.score.astype(np.float64)),
            "reason": encoded(inverse, texts),
            "model_version": pa.array([run.model_version] * n, pa.string()),
            "trained_at": pa.array([run.trained_at] * n, pa.timestamp("us")),
            "as_of": pa.array([as_of] * n, pa.timestamp("us")),
        }
    )


def _refuse_too_little(data: Interactions) -> None:
    if not len(data.product_ids):
        raise TrainingRefusedError("the catalogue has no products")
    if not len(data.bought) and not len(data.viewed):
        raise TrainingRefusedError("nobody has bought or viewed a product of the catalogue yet")


def _digest(data: Interactions) -> str:
    return registry.digest_of(
        data.profile_ids, data.product_ids, data.buyer, data.bought, data.bought_at, data.is_kept, data.returned_at,
        data.viewer, data.viewed, data.viewed_at, data.view_weight,
    )  # fmt: skip
