"""The churn job: train (validate on the newest complete cut-off, fit on all, register) and score (buyers of today)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_jobs import registry
from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.evaluate import evaluate
from ml_jobs.churn.features import read_buyers, read_training_set
from ml_jobs.churn.score import BANDS, band_of
from ml_jobs.churn.train import ChurnModel, fit
from ml_jobs.errors import TrainingRefusedError
from ml_jobs.io import clear_predictions, replace_predictions
from ml_jobs.report import JobReport, OnProgress, in_one, tell
from warehouse.clock import utcnow
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

JOB = "churn"
TABLE = "churn_predictions"


def train(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """Validate on the newest complete cut-off, fit on all complete ones, and register; or refuse and say why.

    Raises:
        FeatureTableError: a relation is missing, or columns are.
    """
    config = config or ChurnConfig()
    as_of = registry.begin(settings)
    params = config.model_dump(mode="json")
    rows = read_training_set(settings, as_of, config)
    tell(on_progress, f"churn: validating and fitting on {len(rows.churned):,} rows of buyers and cut-offs")
    try:
        evaluation = evaluate(rows, config)
        model = fit(rows, config)
    except TrainingRefusedError as error:
        tell(on_progress, f"churn: skipped, {error}")
        registry.record_refusal(settings, JOB, as_of, params, str(error))
        return JobReport(JOB, "skipped", as_of, reason=str(error))
    digest = registry.digest_of(rows.profile_ids, rows.cutoff, rows.horizon_end, rows.features, rows.churned)
    stored = {
        "features": list(config.features),
        "recency": config.recency,
        "method": model.method,
        "booster": model.booster,
        "calibrator": model.calibrator,
    }
    run = registry.ModelRun(
        model_version=registry.content_version(JOB, params, as_of.isoformat(), digest),
        job=JOB,
        as_of=as_of,
        trained_at=utcnow(),
        params=params,
        metrics=evaluation.metrics,
        artefact_sha256=registry.save_artefact(settings, stored),
        n_train=len(rows.churned),
        n_test=evaluation.n_test,
    )
    registry.record_run(settings, run, evaluation.calibration)
    return JobReport(JOB, "trained", as_of, run.model_version, run.metrics, run.n_train, run.n_test)


def score(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """Replace the predictions of all buyers, by the newest model that is not of the future; none without a model.

    Raises:
        FeatureTableError: a column that the model was fitted on is gone.
        ArtefactError: the model's file is missing or was changed.
    """
    config = config or ChurnConfig()
    as_of = registry.begin(settings)
    run = registry.newest_run_of(settings, JOB, as_of)
    if run is None:
        clear_predictions(settings, TABLE)
        return JobReport(JOB, "skipped", as_of, reason="there is no trained model yet")
    stored = registry.load_artefact(settings, run)
    model = ChurnModel(stored["booster"], stored["calibrator"], stored["method"])
    # the columns of the day that the model was fitted, in its order
    fitted = config.model_copy(update={"features": tuple(stored["features"]), "recency": stored["recency"]})
    profile_ids, features = read_buyers(settings, as_of, fitted)
    tell(on_progress, f"churn: scoring {len(profile_ids):,} buyers")
    probability = model.predict(features) if len(profile_ids) else features[:, 0]
    rows = prediction_rows(profile_ids, probability, run, as_of, config)
    replace_predictions(settings, TABLE, rows, purpose="score churn")
    return JobReport(JOB, "scored", as_of, run.model_version, run.metrics, run.n_train, run.n_test, len(profile_ids))


def run(settings: Settings, on_progress: OnProgress = None, config: ChurnConfig | None = None) -> JobReport:
    """Train, then score; if training is refused, an earlier model (if any) scores, and the report says why."""
    trained = train(settings, on_progress, config)
    return in_one(trained, score(settings, on_progress, config))


def prediction_rows(
    profile_ids: np.ndarray, probability: np.ndarray, run: registry.ModelRun, as_of: datetime, config: ChurnConfig
) -> pa.Table:
    """Probabilities as rows of churn_predictions."""
    import pyarrow as pa

    n = len(profile_ids)
    columns: dict[str, Any] = {
        "profile_id": pa.array(profile_ids.tolist(), pa.string()),
        "churn_probability": pa.array(probability, pa.float64()),
        "churn_band": pa.array([BANDS[code] for code in band_of(probability, config)], pa.string()),
        "model_version": pa.array([run.model_version] * n, pa.string()),
        "trained_at": pa.array([run.trained_at] * n, pa.timestamp("us")),
        "as_of": pa.array([as_of] * n, pa.timestamp("us")),
    }
    return pa.table(columns)
