"""The churn job: validated on the newest complete cut-off, fitted on all of them; buyers of today are scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_jobs import job as jobs
from ml_jobs import registry
from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.evaluate import evaluate
from ml_jobs.churn.features import TrainingSet, read_buyers, read_training_set
from ml_jobs.churn.reasons import N_REASONS, reasons_where
from ml_jobs.churn.score import BANDS, band_of
from ml_jobs.churn.train import ChurnModel, fit
from ml_jobs.report import JobReport, OnProgress, tell
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class ChurnJob:
    """See `ml_jobs.job.Job`."""

    name = "churn"
    table = "churn_predictions"

    def __init__(self, config: ChurnConfig | None = None) -> None:
        self.config = config or ChurnConfig()

    def read(self, settings: Settings, as_of: datetime) -> TrainingSet:
        return read_training_set(settings, as_of, self.config)

    def size(self, data: TrainingSet) -> int:
        return len(data.churned)

    def digest(self, data: TrainingSet) -> str:
        return registry.digest_of(data.profile_ids, data.cutoff, data.horizon_end, data.features, data.churned)

    def validate(self, data: TrainingSet) -> jobs.Validation:
        return evaluate(data, self.config)

    def fit(self, data: TrainingSet, choice: str) -> ChurnModel:
        return fit(data, self.config, [choice])[choice]

    def to_stored(self, model: ChurnModel) -> dict[str, Any]:
        return model.to_dict()

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        model = ChurnModel.from_dict(stored)
        # the columns of the day that the model was fitted, in its order
        fitted = self.config.model_copy(update={"features": model.features, "recency": model.recency})
        profile_ids, features = read_buyers(settings, as_of, fitted)
        tell(on_progress, f"churn: scoring {len(profile_ids):,} buyers")
        probability = model.predict(features) if len(profile_ids) else features[:, 0]
        band = band_of(probability, self.config)
        # where nobody is to be contacted, nobody asks why
        reasons = reasons_where(model, features, band > 0)
        return prediction_rows(profile_ids, probability, band, reasons, run, as_of), len(profile_ids)


def train(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """`ml_jobs.job.train` of this job."""
    return jobs.train(ChurnJob(config), settings, on_progress)


def score(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """`ml_jobs.job.score` of this job."""
    return jobs.score(ChurnJob(config), settings, on_progress)


def run(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """`ml_jobs.job.run` of this job."""
    return jobs.run(ChurnJob(config), settings, on_progress)


def prediction_rows(
    profile_ids: np.ndarray,
    probability: np.ndarray,
    band: np.ndarray,
    reasons: Sequence[tuple[str | None, ...]],
    run: registry.ModelRun,
    as_of: datetime,
) -> pa.Table:
    """Rows of churn_predictions."""
    import pyarrow as pa

    n = len(profile_ids)
    columns: dict[str, Any] = {
        "profile_id": pa.array(profile_ids.tolist(), pa.string()),
        "churn_probability": pa.array(probability, pa.float64()),
        "churn_band": pa.array([BANDS[code] for code in band], pa.string()),
        **{
            f"reason_{number + 1}": pa.array([said[number] for said in reasons], pa.string())
            for number in range(N_REASONS)
        },
        "model_version": pa.array([run.model_version] * n, pa.string()),
        "trained_at": pa.array([run.trained_at] * n, pa.timestamp("us")),
        "as_of": pa.array([as_of] * n, pa.timestamp("us")),
    }
    return pa.table(columns)
