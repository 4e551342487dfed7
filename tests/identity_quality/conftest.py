"""Raw rows to profiles by the real path, and no further."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import pipeline
from sandbox.schemas import RAW_SCHEMAS
from warehouse.build import open_build
from warehouse.dbt import run_dbt
from warehouse.settings import Settings

BuildIdentity = Callable[..., None]


@pytest.fixture
def settings(one_place: Callable[[], Path]) -> Settings:
    """An empty installation where the project is parsed already."""
    return Settings(home=one_place(), target="prod", lock_timeout_seconds=30)


@pytest.fixture
def build_identity(settings: Settings) -> BuildIdentity:
    """`build_identity({table: {column: values}}, as_of, *models)`: load, normalize, build the models on them."""

    def run(tables: dict[str, dict[str, pa.Array]], as_of: datetime, *models: str) -> None:
        folder = settings.home / "files"
        folder.mkdir(parents=True)
        for table, columns in tables.items():
            n = len(next(iter(columns.values())))
            schema = RAW_SCHEMAS[table]
            rows = [columns[name].cast(kind) if name in columns else pa.nulls(n, kind) for name, kind in fields(schema)]
            pq.write_table(pa.table(rows, schema=schema), folder / f"{table}.parquet")
            assert pipeline.load_files(settings, folder / f"{table}.parquet").rows_loaded == n
        pipeline.normalize(settings)
        open_build(settings, as_of)
        select = ["--select", *(f"+{model}" for model in models)]
        result = run_dbt(settings, ["build", *select, "--exclude-resource-type", "test", "unit_test"])
        assert result.success, result.explain()

    return run


def fields(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Names and types."""
    return [(field.name, field.type) for field in schema]
