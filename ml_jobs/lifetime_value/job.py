"""The job of lifetime value: fitted to everybody's history as of today, tried at the newest complete cut-off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_jobs import registry
from ml_jobs.job import Validation
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.evaluate import Choice, evaluate
from ml_jobs.lifetime_value.features import Buyers, Snapshots, read_buyers, read_snapshots
from ml_jobs.lifetime_value.model import BG_NBD, LifetimeValueModel, fit
from ml_jobs.lifetime_value.trees import expectations
from ml_jobs.lifetime_value.trees import fit as fit_trees
from ml_jobs.report import OnProgress, tell
from warehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_jobs.lifetime_value.predict import Predictions

_LATEST_DAYS = 3650
"""A next purchase that is further off is none to plan for."""


@dataclass(frozen=True)
class Known:
    """What the job reads."""

    buyers: Buyers
    snapshots: Snapshots


class LifetimeValueJob:
    """See `ml_jobs.job.Job`."""

    name = "lifetime_value"
    table = "lifetime_value_predictions"

    def __init__(self, config: LifetimeValueConfig | None = None) -> None:
        self.config = config or LifetimeValueConfig()

    def read(self, settings: Settings, as_of: datetime) -> Known:
        names = self.config.features
        return Known(read_buyers(settings, as_of, names), read_snapshots(settings, as_of, names))

    def size(self, data: Known) -> int:
        return len(data.buyers.profile_ids)

    def digest(self, data: Known) -> str:
        people, past = data.buyers.histories, data.snapshots
        return registry.digest_of(
            data.buyers.profile_ids, people.frequency, people.recency, people.age, people.value, past.cutoff,
            past.horizon_end, past.histories.frequency, past.histories.recency, past.histories.age,
            past.histories.value, past.features, past.revenue_before, past.purchases, past.revenue,
        )  # fmt: skip

    def validate(self, data: Known) -> Validation:
        return evaluate(data.snapshots, self.config)

    def fit(self, data: Known, choice: Choice | None) -> LifetimeValueModel:
        model, past = fit(data.buyers.histories, self.config), data.snapshots
        if choice is None or choice.method == BG_NBD:
            return model
        trees = fit_trees(past, expectations(past, self.config), self.config)
        return model if trees is None else replace(model, trees=replace(trees, stretch=choice.stretch))

    def to_stored(self, model: LifetimeValueModel) -> dict[str, Any]:
        return model.to_dict()

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        """A row for each buyer and horizon."""
        model = LifetimeValueModel.from_dict(stored)
        # the columns of the day that the model was fitted, in its order
        buyers = read_buyers(settings, as_of, () if model.trees is None else model.trees.features)
        tell(on_progress, f"lifetime_value: scoring {len(buyers.profile_ids):,} buyers")
        said = model.predict(buyers.histories, buyers.features, self.config)
        return prediction_rows(buyers, said, model.method, self.config, run, as_of), len(buyers.profile_ids)


def prediction_rows(
    buyers: Buyers,
    said: Predictions,
    method: str,
    config: LifetimeValueConfig,
    run: registry.ModelRun,
    as_of: datetime,
) -> pa.Table:
    """Predictions as rows of lifetime_value_predictions, by profile and horizon."""
    import numpy as np
    import pyarrow as pa

    n, horizons = len(buyers.profile_ids), np.asarray(config.horizons, np.int32)
    times = len(horizons)
    # the day on which it has come, not the one on which it is due to begin
    wait = np.ceil(said.median_wait)
    is_near = wait <= _LATEST_DAYS  # nan is not
    today = np.datetime64(buyers.as_of_on or as_of.date(), "D")
    next_on = today + np.where(is_near, wait, 0).astype("timedelta64[D]")

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, times)

    profile = pa.DictionaryArray.from_arrays(
        pa.array(each(np.arange(n, dtype=np.int32))), pa.array(buyers.profile_ids.tolist(), pa.string())
    )
    flat = {
        name: pa.array(getattr(said, name).ravel(), pa.float64())
        for name in (
            "p_purchase", "expected_purchases", "purchases_low", "purchases_high", "expected_value", "value_low",
            "value_high",
        )
    }  # fmt: skip
    return pa.table(
        {
            "profile_id": profile,
            "horizon_days": pa.array(np.tile(horizons, n), pa.int32()),
            **flat,
            "value_method": pa.array([method] * (n * times), pa.string()),
            "next_purchase_on": pa.array(each(next_on), pa.date32(), mask=each(~is_near)),
            "model_version": pa.array([run.model_version] * (n * times), pa.string()),
            "trained_at": pa.array([run.trained_at] * (n * times), pa.timestamp("us")),
            "as_of": pa.array([as_of] * (n * times), pa.timestamp("us")),
        }
    )
