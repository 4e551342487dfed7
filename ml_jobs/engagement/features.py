"""Rows to learn from and rows to score: what dbt computed, and how a person answered mails before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs.engagement.config import EngagementConfig
from ml_jobs.errors import FeatureTableError
from ml_jobs.io import micros, read_table, require_columns
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

OPEN, CLICK = TARGETS = ("open", "click")
_BEFORE = ("delivered_before", "opened_before", "clicked_before")
_AHEAD = ("delivered_ahead", "opened_ahead", "clicked_ahead")


@dataclass(frozen=True)
class People:
    """What is known of people at an instant."""

    profile_ids: np.ndarray
    features: np.ndarray
    """float64 (people, features), nan for null."""
    delivered: np.ndarray
    """Mails of which it is known whether they were answered, float64 (people,)."""
    answered: np.ndarray
    """Those opened, and those clicked, by a human: float64 (people, 2), in the order of TARGETS."""

    def rows(self, which: np.ndarray) -> People:
        """The people of a mask."""
        return People(self.profile_ids[which], self.features[which], self.delivered[which], self.answered[which])


@dataclass(frozen=True)
class TrainingSet:
    """One row per person who got mail after a complete cut-off, by cut-off and profile. Instants: microseconds since
    1970."""

    people: People
    """As of the cut-off."""
    cutoff: np.ndarray
    horizon_end: np.ndarray
    """The labels look until here: a row may teach only what is asked at or after this instant."""
    delivered: np.ndarray
    """Mails of [cutoff, horizon_end), at least one, float64 (rows,)."""
    answered: np.ndarray
    """Those opened, and those clicked: float64 (rows, 2)."""

    def rows(self, which: np.ndarray) -> TrainingSet:
        """The rows of a mask."""
        return TrainingSet(
            self.people.rows(which),
            self.cutoff[which],
            self.horizon_end[which],
            self.delivered[which],
            self.answered[which],
        )


def _columns(table: pa.Table, names: tuple[str, ...]) -> np.ndarray:
    import numpy as np

    columns = [table.column(name).to_numpy() for name in names]
    return np.column_stack(columns).astype(np.float64) if table.num_rows else np.empty((0, len(names)))


def _people(table: pa.Table, config: EngagementConfig) -> People:
    import numpy as np

    before = _columns(table, _BEFORE)
    ids = np.asarray(table["profile_id"].to_pylist(), dtype=object)
    return People(ids, _columns(table, config.features), before[:, 0], before[:, 1:])


def _selected(names: tuple[str, ...], relation: str) -> str:
    return ", ".join(f'cast({relation}."{name}" as double precision) as "{name}"' for name in names)


def read_training_set(settings: Settings, as_of: datetime, config: EngagementConfig) -> TrainingSet:
    """All rows whose horizon had ended by `as_of`.

    Raises:
        FeatureTableError: a relation is missing, or columns are: all of them in one message.
    """
    schema = settings.schema
    with connect(settings, read_only=True, purpose="read the engagement training set") as con:
        require_columns(
            con,
            schema,
            {
                "engagement_training_set": ["profile_id", "as_of", "horizon_ends_at", *_BEFORE, *_AHEAD],
                "profile_feature_snapshots": ["profile_id", "as_of", *config.features],
                "profile_features": ["profile_id", "as_of", *config.features],
            },
        )
        table = read_table(
            con,
            f"""select labels.profile_id, labels.as_of as cutoff, labels.horizon_ends_at,
                    {_selected((*_BEFORE, *_AHEAD), "labels")}, {_selected(config.features, "snapshots")}
                from "{schema}".engagement_training_set as labels
                inner join "{schema}".profile_feature_snapshots as snapshots
                    on labels.profile_id = snapshots.profile_id and labels.as_of = snapshots.as_of
                where labels.horizon_ends_at <= ? and labels.delivered_ahead > 0
                order by cutoff, labels.profile_id""",
            [as_of],
        )
    ahead = _columns(table, _AHEAD)
    return TrainingSet(
        people=_people(table, config),
        cutoff=micros(table, "cutoff", missing=0),
        horizon_end=micros(table, "horizon_ends_at", missing=0),
        delivered=ahead[:, 0],
        answered=ahead[:, 1:],
    )


def read_people(settings: Settings, as_of: datetime, config: EngagementConfig) -> People:
    """Everybody who has an address, as of the clock.

    Raises:
        FeatureTableError: a relation or columns are missing, or the features were built for another `as_of`.
    """
    schema = settings.schema
    with connect(settings, read_only=True, purpose="read who may get mail") as con:
        require_columns(
            con,
            schema,
            {
                "profile_features": ["profile_id", "as_of", *config.features],
                "dim_profiles": ["profile_id", "email"],
                "send_outcomes": ["profile_id", "settled_at", "is_opened", "is_clicked"],
            },
        )
        stale = con.execute(f'select max(as_of) from "{schema}".profile_features where as_of <> ?', [as_of]).fetchall()
        if stale[0][0] is not None:
            raise FeatureTableError(
                f"'profile_features' was built for {stale[0][0]}, but the clock stands at {as_of}.",
                where=f"schema {schema}",
                todo="run `mailwright build`",
            )
        table = read_table(
            con,
            f"""with answers as (
                    select profile_id, count(*) as delivered_before, count(*) filter (is_opened) as opened_before,
                        count(*) filter (is_clicked) as clicked_before
                    from "{schema}".send_outcomes where settled_at < ? group by profile_id
                )
                select features.profile_id, {_selected(config.features, "features")},
                    {", ".join(f"cast(coalesce({name}, 0) as double precision) as {name}" for name in _BEFORE)}
                from "{schema}".profile_features as features
                inner join "{schema}".dim_profiles as profiles
                    on features.profile_id = profiles.profile_id and profiles.email is not null
                left join answers on features.profile_id = answers.profile_id
                order by features.profile_id""",
            [as_of],
        )
    return _people(table, config)
