"""Rows to learn from and rows to score: what dbt computed, read as it is.

No feature is computed here: `churn_training_set` and `profile_features` come from one macro, so that training and
scoring cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs.churn.config import ChurnConfig
from ml_jobs.errors import FeatureTableError
from ml_jobs.io import micros, read_table, require_columns
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class TrainingSet:
    """One row per buyer and complete cut-off, ordered by cut-off and profile. Instants are microseconds since 1970."""

    profile_ids: np.ndarray
    cutoff: np.ndarray
    horizon_end: np.ndarray
    """The label looks until here: a row may teach only what is asked at or after this instant."""
    features: np.ndarray
    """float64 (rows, features), nan for null."""
    churned: np.ndarray
    """bool (rows,)"""

    def rows(self, which: np.ndarray) -> TrainingSet:
        """The rows of a mask or of positions."""
        return TrainingSet(
            self.profile_ids[which],
            self.cutoff[which],
            self.horizon_end[which],
            self.features[which],
            self.churned[which],
        )


def _matrix(table: pa.Table, config: ChurnConfig) -> np.ndarray:
    import numpy as np

    columns = [table.column(name).to_numpy() for name in config.features]
    return np.column_stack(columns).astype(np.float64) if table.num_rows else np.empty((0, len(config.features)))


def _selected(config: ChurnConfig) -> str:
    # as doubles: money is decimal in the warehouse, and ratios of it are all that a tree sees
    return ", ".join(f'cast("{name}" as double precision) as "{name}"' for name in config.features)


def read_training_set(settings: Settings, as_of: datetime, config: ChurnConfig) -> TrainingSet:
    """All rows whose horizon had ended by `as_of`.

    Raises:
        FeatureTableError: a relation is missing, or columns are, in either of the two: all of them in one message.
    """
    import numpy as np

    schema = settings.schema
    with connect(settings, read_only=True, purpose="read the churn training set") as con:
        require_columns(
            con,
            schema,
            {
                "churn_training_set": ["profile_id", "as_of", "horizon_ends_at", config.label, *config.features],
                "profile_features": ["profile_id", *config.features],
            },
        )
        table = read_table(
            con,
            f"""select profile_id, as_of as cutoff, horizon_ends_at, {_selected(config)},
                   cast("{config.label}" as integer) as churned
                from "{schema}".churn_training_set
                where horizon_ends_at <= ? and "{config.label}" is not null and "{config.recency}" is not null
                order by cutoff, profile_id""",
            [as_of],
        )
    return TrainingSet(
        profile_ids=np.asarray(table["profile_id"].to_pylist(), dtype=object),
        cutoff=micros(table, "cutoff", missing=0),
        horizon_end=micros(table, "horizon_ends_at", missing=0),
        features=_matrix(table, config),
        churned=table["churned"].to_numpy() == 1,
    )


def read_buyers(settings: Settings, as_of: datetime, config: ChurnConfig) -> tuple[np.ndarray, np.ndarray]:
    """Profiles that bought at least once, and their features as of the clock: (n,), (n, features).

    Raises:
        FeatureTableError: the relation or columns of it are missing, or it was built for another `as_of`.
    """
    import numpy as np

    schema = settings.schema
    with connect(settings, read_only=True, purpose="read profile features") as con:
        require_columns(con, schema, {"profile_features": ["profile_id", "as_of", *config.features]})
        stale = con.execute(f'select max(as_of) from "{schema}".profile_features where as_of <> ?', [as_of]).fetchall()
        if stale[0][0] is not None:
            raise FeatureTableError(
                f"'profile_features' was built for {stale[0][0]}, but the clock stands at {as_of}.",
                where=f"schema {schema}",
                todo="run `mailwright build`",
            )
        table = read_table(
            con,
            f'select profile_id, {_selected(config)} from "{schema}".profile_features '
            f'where "{config.recency}" is not null order by profile_id',
        )
    return np.asarray(table["profile_id"].to_pylist(), dtype=object), _matrix(table, config)
