"""A small simulated shop, made once, and a database of nothing but its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.config import SandboxConfig
from sandbox.generate import generate
from sandbox.output import SandboxReport

Query = Callable[[str], list[tuple[Any, ...]]]

SMALL = SandboxConfig(n_contacts=2_000, n_web_events=60_000, months=12, n_products=160)


def files_as_views(folder: Path) -> duckdb.DuckDBPyConnection:
    """Each Parquet file as a view of its name, those of `truth/` in a schema of that name."""
    con = duckdb.connect()
    con.execute("create schema truth")
    for path in sorted(folder.rglob("*.parquet")):
        schema = "truth." if path.parent.name == "truth" else ""
        con.execute(f"create view {schema}{path.stem} as select * from '{path}'")
    return con


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SandboxReport:
    return generate(tmp_path_factory.mktemp("shop"), SMALL)


@pytest.fixture(scope="session")
def query(shop: SandboxReport) -> Iterator[Query]:
    con = files_as_views(shop.out_dir)
    yield lambda sql: con.execute(sql).fetchall()
    con.close()
