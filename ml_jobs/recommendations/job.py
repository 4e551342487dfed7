"""The recommendation job: the method is chosen on one window, tried on the next, and fitted on everything."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_jobs import job as jobs
from ml_jobs import registry
from ml_jobs.errors import ArtefactError, TrainingRefusedError
from ml_jobs.gate import NotComparableError
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.evaluate import Choice, evaluate
from ml_jobs.recommendations.features import Interactions, in_items_of, read_interactions
from ml_jobs.recommendations.model import RecommendationModel, Scorer, fit
from ml_jobs.recommendations.pairs import Known
from ml_jobs.recommendations.placements import EMAIL, placements_of
from ml_jobs.recommendations.score import REASONS, Candidates, top_candidates
from ml_jobs.report import JobReport, OnProgress, tell
from warehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


class RecommendationJob:
    """See `ml_jobs.job.Job`."""

    name = "recommendations"
    table = "recommendation_candidates"

    def __init__(self, config: RecommendationConfig | None = None) -> None:
        self.config = config or RecommendationConfig()

    def read(self, settings: Settings, as_of: datetime) -> Interactions:
        return read_interactions(settings, as_of, self.config)

    def size(self, data: Interactions) -> int:
        return len(data.bought) + len(data.viewed)

    def digest(self, data: Interactions) -> str:
        return registry.digest_of(
            data.profile_ids, data.product_ids, data.product_names, data.categories, data.buyer, data.bought,
            data.bought_at, data.is_kept, data.returned_at, data.viewer, data.viewed, data.viewed_at,
            data.view_weight,
        )  # fmt: skip

    def validate(self, data: Interactions) -> jobs.Validation:
        if not len(data.product_ids):
            raise TrainingRefusedError("the catalogue has no products")
        if not len(data.bought) and not len(data.viewed):
            raise TrainingRefusedError("nobody has bought or viewed a product of the catalogue yet")
        return evaluate(data, self.config)

    def fit(self, data: Interactions, choice: Choice) -> RecommendationModel:
        return fit(data, data.as_of, choice.method, self.config, choice.lessons, choice.placements)

    def to_stored(self, model: RecommendationModel) -> dict[str, Any]:
        return model.to_dict()

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        """Candidates of everyone with purchases or views, and of those with a context at each other placement."""
        import numpy as np
        import pyarrow as pa

        config = self.config
        try:
            model = RecommendationModel.from_dict(stored)
        except NotComparableError as error:
            raise ArtefactError(
                f"{run.model_version} can not score: {error}.",
                where=str(registry.artefact_path(settings, run.artefact_sha256 or "none")),
                todo="run `mailwright train` to make a new one",
            ) from None
        data = in_items_of(read_interactions(settings, as_of, config), model.product_ids)
        known = Known(data, data.as_of, model.sources, config)
        scorer = Scorer(model, known, data.is_eligible)
        people = np.flatnonzero(known.history.purchases.getnnz(axis=1) + known.history.views.getnnz(axis=1))
        tell(on_progress, f"recommendations: scoring {len(people):,} profiles × {len(model.product_ids):,} products")
        sizes = config.n_candidates, config.chunk_profiles
        best = top_candidates(scorer, people, *sizes)
        tables = [prediction_rows(data, best, run, as_of, EMAIL)]
        for placement in placements_of(known):
            method = model.placements.get(placement.name)
            here = np.flatnonzero(placement.context.getnnz(axis=1))
            if method is None or not len(here):
                continue
            tell(on_progress, f"recommendations: {placement.name}, {len(here):,} profiles")
            found = top_candidates(scorer, here, *sizes, placement, method)
            tables.append(prediction_rows(data, found, run, as_of, placement.name))
        return pa.concat_tables(tables).unify_dictionaries(), len(np.unique(best.profile))


def train(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """`ml_jobs.job.train` of this job."""
    return jobs.train(RecommendationJob(config), settings, on_progress)


def score(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """`ml_jobs.job.score` of this job."""
    return jobs.score(RecommendationJob(config), settings, on_progress)


def run(settings: Settings, on_progress: OnProgress = None, config: RecommendationConfig | None = None) -> JobReport:
    """`ml_jobs.job.run` of this job."""
    return jobs.run(RecommendationJob(config), settings, on_progress)


def prediction_rows(
    data: Interactions, best: Candidates, run: registry.ModelRun, as_of: datetime, placement: str
) -> pa.Table:
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
            "placement": encoded(np.zeros(n), [placement]),
            "product_id": encoded(best.product, data.product_ids.tolist()),
            "rank": pa.array(best.rank, pa.int64()),
            "score": pa.array(best.score.astype(np.float64)),
            "reason": encoded(inverse, texts),
            "model_version": pa.array([run.model_version] * n, pa.string()),
            "trained_at": pa.array([run.trained_at] * n, pa.timestamp("us")),
            "as_of": pa.array([as_of] * n, pa.timestamp("us")),
        }
    )
