"""Features as of a past instant are those of a warehouse that had been loaded until then and no further.

Ten small companies, each with a cut-off of its own, lie in one warehouse that knows all. The same ten lie in others that were
loaded up to the cut-off alone; one clock serves several of them, because there each company's history is moved so that its cut-off
is the clock's (by whole days, which no feature can tell).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from cli import pipeline
from ingest.load import ensure_raw_tables
from tests.dbt import as_of_world as world
from tests.dbt import features_support as support
from warehouse.clock import Clock, set_clock
from warehouse.settings import Settings

VARIABLES = {"known_at": world.KNOWN_AT, "training_min_history_days": 0}
MIDNIGHT, AFTERNOON = world.START + timedelta(days=200), world.START + timedelta(days=200, hours=15, minutes=37, seconds=21)
CUTOFFS = {
    f"company{number}": (MIDNIGHT if number % 2 else AFTERNOON) - timedelta(days=90 + 3 * number) for number in range(10)
}
"""Half of them are midnights."""
NOW = world.START + timedelta(days=300)


@dataclass(frozen=True)
class Store:
    """A built warehouse and the SQL of its training snapshots."""

    settings: Settings
    snapshots_sql: str

    def query(self, sql: str) -> pd.DataFrame:
        with duckdb.connect(str(self.settings.warehouse_path), read_only=True) as con:
            return con.execute(sql).df()

    def features(self, cutoffs: list[tuple[datetime, datetime]]) -> pd.DataFrame:
        """Every feature as of (as_of, known_at), by the model's own SQL."""
        with duckdb.connect(str(self.settings.warehouse_path)) as con:
            con.execute("create or replace table analytics.wanted_cutoffs (as_of timestamp, known_at timestamp)")
            con.executemany("insert into analytics.wanted_cutoffs values (?, ?)", cutoffs)
            return con.execute(f"select * from ({self.snapshots_sql}) as features").df()


def build(home: Path, rows: world.Rows, as_of: datetime) -> Store:
    """Load the rows, and build everything up to the features."""
    settings = Settings(home=home, target="prod", lock_timeout_seconds=30)
    ensure_raw_tables(settings)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        for table, found in world.together([rows, world.products()]).items():
            frame = pd.DataFrame(found)
            con.execute(f"insert into raw.{table} by name select * from frame")
        set_clock(con, settings.schema, Clock(as_of, as_of))
    pipeline.normalize(settings)
    support.build(settings, "+profile_features", "+profile_feature_snapshots", variables=VARIABLES)
    compiled = support.target_of(settings, VARIABLES) / "compiled/mailwright/models/training/profile_feature_snapshots.sql"
    sql, n_found = re.subn(r'"analytics"\."int_training__cutoffs"', "analytics.wanted_cutoffs", compiled.read_text())
    sql = re.sub(r'"[a-z_0-9]+"\.analytics\.wanted', "analytics.wanted", sql)
    assert n_found == 1
    return Store(settings, sql)


@pytest.fixture(scope="module")
def companies() -> dict[str, world.Rows]:
    return {name: world.Company(name, seed=1).rows for name in CUTOFFS}


@pytest.fixture(scope="module")
def whole(companies: dict[str, world.Rows], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The warehouse that knows all."""
    return build(tmp_path_factory.mktemp("whole"), world.together(companies.values()), NOW)


@pytest.fixture(scope="module")
def owners(companies: dict[str, world.Rows]) -> Callable[[pd.DataFrame], pd.Series]:
    """The company of each row of features, by its profile's name."""
    return lambda frame: frame


def comparable(frame: pd.DataFrame, moved_by: timedelta = timedelta(0)) -> pd.DataFrame:
    """One row per profile, its instants moved back."""
    frame = frame.set_index("profile_id").sort_index()
    for column in frame.columns:
        if str(frame[column].dtype).startswith("datetime64"):
            frame[column] = frame[column] - moved_by
    return frame


@pytest.mark.parametrize("clock", [MIDNIGHT, AFTERNOON])
def test_features_are_those_of_a_warehouse_loaded_until_then(
    clock: datetime, companies: dict[str, world.Rows], whole: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mine = {name: at for name, at in CUTOFFS.items() if at.time() == clock.time()}
    assert len(mine) == 5
    loaded = [world.shifted(world.arrived_by(companies[name], at), clock - at) for name, at in mine.items()]
    until_then = build(tmp_path_factory.mktemp("until"), world.together(loaded), clock)
    wanted = until_then.query("select * from analytics.profile_features")
    company_of = dict(until_then.query(
        "select distinct profile_id, substr(identifier_value, 1, 8) from analytics.int_identity__identifier_profiles"
    ).itertuples(index=False))  # fmt: skip
    got = whole.features([(at, at) for at in mine.values()])
    for name, at in mine.items():
        then = comparable(wanted[wanted["profile_id"].map(company_of) == name], clock - at)
        now = comparable(got[(got["as_of"] == at) & got["profile_id"].isin(then.index)])
        pd.testing.assert_frame_equal(now, then, check_dtype=False, rtol=1e-12)
