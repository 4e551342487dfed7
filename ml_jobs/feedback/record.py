"""After each scoring: keep what was said, and measure how far the day is from the model's first.

Tables of the ML schema: `prediction_log` (what was predicted), `feature_profiles` (each model's first day) and `drift`.
All are written by day: scoring a day again replaces what it left before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import yaml

from ml_jobs.feedback.config import FeedbackConfig
from ml_jobs.feedback.drift import Profile, counted, index_by_chance, largest_gap, profile_of, stability_index
from ml_jobs.feedback.kept import KEPT, Kept
from ml_jobs.io import require_columns, transaction
from ml_jobs.registry import ModelRun
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import numpy as np

Kind = Literal["feature", "score", "coverage"]
Key = tuple[Kind, str]
"""Kind and name of what is compared."""
PEOPLE = "people_scored"
"""Name of the one measure of coverage."""


@dataclass(frozen=True)
class Drift:
    """One row of `drift`."""

    kind: Kind
    name: str
    value: float
    """A stability index; of coverage, the share of the first day's people that are no longer scored."""
    limit: float
    n_first: int
    n: int
    largest_gap: float | None = None
    """Between the two distribution functions, at the edges of the bins; of coverage None."""

    @property
    def is_over(self) -> bool:
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f}"


def day_of(as_of: datetime) -> date:
    """The day of the last instant before `as_of` (UTC)."""
    return (as_of - timedelta(microseconds=1)).date()


def record(
    settings: Settings,
    table: str,
    run: ModelRun,
    stored: Mapping[str, Any],
    as_of: datetime,
    config: FeedbackConfig | None = None,
) -> list[Drift]:
    """Keep what `run` has just written into `table`, and compare the day with its first.

    Args:
        table: of the ML schema, with the predictions as of `as_of` alone.
        stored: the model, as it was loaded.

    Raises:
        FeatureTableError: `profile_features` is missing, or has not the columns that the model reads.
    """
    kept = KEPT.get(run.job)
    if kept is None:
        return []
    config = config or FeedbackConfig()
    with connect(settings, purpose=f"keep predictions of {run.job}") as con, transaction(con):
        _log(con, settings, table, kept, run, stored, as_of, config)
        first = _first_day(con, settings.ml_schema, run, as_of)
        is_first = not first
        found: list[Drift] = []
        n_today = 0
        for key, values in _distributions(con, settings, kept, run, stored, as_of):
            if is_first:
                first[key] = profile_of(values, config.n_bins)
            if key in first:
                found.append(_compared(key, first[key], values, config))
            if key[0] == "score":
                n_today = max(n_today, len(values))
        if is_first:
            _write_first_day(con, settings.ml_schema, run, first)
        n_first = max((profile.n for (kind, _), profile in first.items() if kind == "score"), default=0)
        if n_first:
            found.append(Drift("coverage", PEOPLE, 1 - n_today / n_first, config.max_lost, n_first, n_today))
        _write_drift(con, settings.ml_schema, run, as_of, found)
    return found


def _log(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    table: str,
    kept: Kept,
    run: ModelRun,
    stored: Mapping[str, Any],
    as_of: datetime,
    config: FeedbackConfig,
) -> None:
    ml, today = settings.ml_schema, day_of(as_of)
    # a day of slack: a clock may stand at any hour of it
    con.execute(
        f'delete from "{ml}".prediction_log where job = ? and (as_of_on = ? or horizon_days is null '
        "or date_diff('day', as_of_on, ?) >= least(?, horizon_days + ? + 1))",
        [run.job, today, today, config.keep_days, _outcome_days(settings, config)],
    )
    horizon = kept.horizon_days if isinstance(kept.horizon_days, str) else "cast(? as integer)"
    values = [] if isinstance(kept.horizon_days, str) else [kept.horizon_days(run, stored)]
    con.execute(
        f'insert into "{ml}".prediction_log '
        "(job, model_version, as_of_on, as_of, profile_id, horizon_days, subject, rank, value) "
        f"select ?, model_version, ?, as_of, profile_id, {horizon}, {kept.subject}, {kept.rank}, {kept.value} "
        f'from "{ml}"."{table}" where {kept.which} order by profile_id',
        [run.job, today, *values],
    )


def _outcome_days(settings: Settings, config: FeedbackConfig) -> int:
    """For so many days after their horizon the marts hold predictions against what came; where no project says for how
    many, all are kept."""
    path = settings.dbt_project_dir / "dbt_project.yml"
    project = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return ((project or {}).get("vars") or {}).get("outcome_days", config.keep_days)


def _distributions(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    kept: Kept,
    run: ModelRun,
    stored: Mapping[str, Any],
    as_of: datetime,
) -> Iterator[tuple[Key, np.ndarray]]:
    """Values of the day, a column at a time: of a million people, each is 8 MB. None of nobody."""
    logged = f'"{settings.ml_schema}".prediction_log where job = ? and as_of_on = ?'
    day = [run.job, day_of(as_of)]
    horizons = con.execute(f"select distinct horizon_days from {logged} order by horizon_days", day).fetchall()
    columns = list(kept.features(stored)) if horizons else []
    if columns:
        require_columns(con, settings.schema, {"profile_features": ["profile_id", *columns]})
    for name in columns:
        sql = (
            f'select cast("{name}" as double precision) as value from "{settings.schema}".profile_features '
            f"where profile_id in (select profile_id from {logged})"
        )
        yield ("feature", name), _column(con, sql, day)
    for (horizon,) in horizons:
        name = f"{kept.value}_{horizon}d" if horizon else kept.value
        sql = f"select value from {logged} and rank = 1 and horizon_days is not distinct from ?"
        yield ("score", name), _column(con, sql, [*day, horizon])


def _column(con: duckdb.DuckDBPyConnection, sql: str, values: list[Any]) -> np.ndarray:
    import numpy as np

    return np.ma.filled(con.execute(sql, values).fetchnumpy()["value"].astype(float), np.nan)


def _first_day(con: duckdb.DuckDBPyConnection, ml: str, run: ModelRun, as_of: datetime) -> dict[Key, Profile]:
    """The distributions of the model's first day; none if it has not scored anybody before the day of `as_of`."""
    earlier = con.execute(
        f'select count(*) from "{ml}".drift where model_version = ? and as_of_on < ?',
        [run.model_version, day_of(as_of)],
    ).fetchone()
    if not earlier or not earlier[0]:
        return {}
    found: dict[Key, list[tuple[float | None, int]]] = {}
    for kind, name, upper, n in con.execute(
        f'select kind, name, upper, n from "{ml}".feature_profiles where model_version = ? order by kind, name, bin',
        [run.model_version],
    ).fetchall():
        found.setdefault((kind, name), []).append((upper, n))
    return {
        key: Profile(tuple(upper for upper, _ in bins if upper is not None), tuple(n for _, n in bins))
        for key, bins in found.items()
    }


def _write_first_day(con: duckdb.DuckDBPyConnection, ml: str, run: ModelRun, profiles: Mapping[Key, Profile]) -> None:
    rows = [
        (run.model_version, kind, name, number, upper, n)
        for (kind, name), profile in profiles.items()
        for number, (upper, n) in enumerate(zip((None, *profile.edges, None), profile.counts, strict=True))
    ]
    con.execute(f'delete from "{ml}".feature_profiles where model_version = ?', [run.model_version])
    if rows:
        con.executemany(f'insert into "{ml}".feature_profiles values (?, ?, ?, ?, ?, ?)', rows)


def _compared(key: Key, before: Profile, values: np.ndarray, config: FeedbackConfig) -> Drift:
    now = counted(values, before.edges)
    limit = max(config.max_psi, index_by_chance(before, now, config.chance))
    return Drift(*key, stability_index(before, now), limit, before.n, now.n, largest_gap(before, now))


def _write_drift(con: duckdb.DuckDBPyConnection, ml: str, run: ModelRun, as_of: datetime, found: list[Drift]) -> None:
    con.execute(f'delete from "{ml}".drift where job = ? and as_of_on = ?', [run.job, day_of(as_of)])
    day = (run.job, run.model_version, day_of(as_of), as_of)
    rows = [
        (*day, one.kind, one.name, one.value, one.limit, one.n_first, one.n, one.is_over, one.largest_gap)
        for one in found
    ]
    if rows:
        con.executemany(
            f'insert into "{ml}".drift (job, model_version, as_of_on, as_of, kind, name, value, limit_value, n_first, '
            "n, is_over, largest_gap) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
