"""The job of send times: tried on the mails of the newest window, fitted to all of them; everybody with an address is
scored."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_jobs import registry
from ml_jobs.job import Validation
from ml_jobs.report import OnProgress, tell
from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.evaluate import evaluate
from ml_jobs.send_time.features import Outcomes, read_outcomes
from ml_jobs.send_time.model import Method, SendTimeModel, fit, simpler
from ml_jobs.send_time.randomize import random_hours
from warehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 100_000
"""People whose factors are in memory at a time."""


class SendTimeJob:
    """See `ml_jobs.job.Job`."""

    name = "send_time"
    table = "send_time_predictions"

    def __init__(self, config: SendTimeConfig | None = None) -> None:
        self.config = config or SendTimeConfig()

    def read(self, settings: Settings, as_of: datetime) -> Outcomes:
        return read_outcomes(settings, as_of, as_of - timedelta(days=self.config.test_days))

    def size(self, data: Outcomes) -> int:
        return int(data.sends.sends.sum())

    def digest(self, data: Outcomes) -> str:
        cells = data.sends
        return registry.digest_of(
            data.profile_ids, cells.person, cells.hour, cells.weekday, cells.sends, cells.clicks, data.is_before,
            data.is_tested,
        )  # fmt: skip

    def validate(self, data: Outcomes) -> Validation:
        return evaluate(data, self.config)

    def fit(self, data: Outcomes, choice: Method) -> SendTimeModel:
        return simpler(fit(data.sends, self.config), choice)

    def to_stored(self, model: SendTimeModel) -> dict[str, Any]:
        return model.to_dict()

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        """A row for everybody with an address, by all of their mails."""
        import pyarrow as pa

        data = self.read(settings, as_of)
        n = len(data.profile_ids)
        tell(on_progress, f"send_time: scoring {n:,} people")
        model = SendTimeModel.from_dict(stored)
        parts = [self._rows(model, data, start, as_of, run) for start in range(0, max(n, 1), _AT_ONCE)]
        return pa.concat_tables(parts), n

    def _rows(
        self, model: SendTimeModel, data: Outcomes, start: int, as_of: datetime, run: registry.ModelRun
    ) -> pa.Table:
        """Rows of send_time_predictions of some people."""
        import numpy as np
        import pyarrow as pa

        ids = data.profile_ids[start : start + _AT_ONCE]
        past, person = data.sends.people(start, start + _AT_ONCE), np.arange(len(ids))
        factors = model.factors(past)
        hour, weekday = model.best(factors)
        hour_of_all, weekday_of_all = (
            np.full(len(ids), order[0]) for order in (model.hour_order(), model.weekday_order())
        )
        is_randomized, random_hour = random_hours(ids, as_of, self.config)
        return pa.table(
            {
                "profile_id": pa.array(ids.tolist(), pa.string()),
                "best_hour": pa.array(hour, pa.int32()),
                "best_weekday": pa.array(weekday + 1, pa.int32()),
                "send_hour": pa.array(np.where(is_randomized, random_hour, hour), pa.int32()),
                "is_randomized": pa.array(is_randomized),
                "p_click": pa.array(model.rates(factors, person, hour, weekday)),
                "p_click_population": pa.array(model.rates(factors, person, hour_of_all, weekday_of_all)),
                "n_sends": pa.array(np.bincount(past.person, past.sends, len(ids)).astype(np.int64)),
                "n_clicks": pa.array(np.bincount(past.person, past.clicks, len(ids)).astype(np.int64)),
                "model_version": pa.array([run.model_version] * len(ids), pa.string()),
                "trained_at": pa.array([run.trained_at] * len(ids), pa.timestamp("us")),
                "as_of": pa.array([as_of] * len(ids), pa.timestamp("us")),
            }
        )
