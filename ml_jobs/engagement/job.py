"""The job of engagement: tried at the newest complete cut-off, fitted to all; everybody with an address is scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_jobs import registry
from ml_jobs.engagement.config import EngagementConfig
from ml_jobs.engagement.evaluate import evaluate
from ml_jobs.engagement.features import TrainingSet, read_people, read_training_set
from ml_jobs.engagement.model import EngagementModel, fit
from ml_jobs.job import Validation
from ml_jobs.report import OnProgress, tell
from warehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


class EngagementJob:
    """See `ml_jobs.job.Job`."""

    name = "engagement"
    table = "engagement_predictions"

    def __init__(self, config: EngagementConfig | None = None) -> None:
        self.config = config or EngagementConfig()

    def read(self, settings: Settings, as_of: datetime) -> TrainingSet:
        return read_training_set(settings, as_of, self.config)

    def size(self, data: TrainingSet) -> int:
        return len(data.delivered)

    def digest(self, data: TrainingSet) -> str:
        people = data.people
        return registry.digest_of(
            people.profile_ids, people.features, people.delivered, people.answered, data.cutoff, data.horizon_end,
            data.delivered, data.answered,
        )  # fmt: skip

    def validate(self, data: TrainingSet) -> Validation:
        return evaluate(data, self.config)

    def fit(self, data: TrainingSet, choice: Sequence[str]) -> EngagementModel:
        return fit(data, self.config, choice)

    def to_stored(self, model: EngagementModel) -> dict[str, Any]:
        return model.to_dict()

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        """A row for everybody with an address."""
        import pyarrow as pa

        model = EngagementModel.from_dict(stored)
        # the columns of the day that the model was fitted, in its order
        people = read_people(settings, as_of, self.config.model_copy(update={"features": model.features}))
        n = len(people.profile_ids)
        tell(on_progress, f"engagement: scoring {n:,} people")
        said = model.predict(people)
        rows = {
            "profile_id": pa.array(people.profile_ids.tolist(), pa.string()),
            "p_open": pa.array(said[:, 0], pa.float64()),
            "p_click": pa.array(said[:, 1], pa.float64()),
            "model_version": pa.array([run.model_version] * n, pa.string()),
            "trained_at": pa.array([run.trained_at] * n, pa.timestamp("us")),
            "as_of": pa.array([as_of] * n, pa.timestamp("us")),
        }
        return pa.table(rows), n
