"""A small declared table to load into, apart from the project's own contracts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

COLUMNS: list[dict[str, Any]] = [
    {"name": "item_id", "data_type": "text", "config": {"meta": {"required": True}}},
    {"name": "name", "data_type": "text"},
    {"name": "quantity", "data_type": "bigint"},
    {"name": "price", "data_type": "numeric(18,4)"},
    {"name": "sold_at", "data_type": "timestamp"},
    {"name": "is_gift", "data_type": "boolean"},
]
HEADER = "item_id,name,quantity,price,sold_at,is_gift"

Declare = Callable[..., None]
Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """`declare(**meta)`: declare the table `items` with this meta."""
    path = tmp_path / "sources.yml"

    def write(**meta: Any) -> None:
        table = {"name": "items", "config": {"meta": meta}, "columns": COLUMNS}
        path.write_text(yaml.safe_dump({"sources": [{"name": "raw", "tables": [table]}]}), encoding="utf-8")

    write()
    for module in ("ingest.load", "ingest.normalize"):
        monkeypatch.setattr(f"{module}.sources_path", lambda _settings: path)
    return write


@pytest.fixture
def query(settings: Settings) -> Query:
    """`query(sql, *parameters)`: rows of the warehouse."""

    def run(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(settings, purpose="test") as con:
            return con.execute(sql, list(parameters)).fetchall()

    return run


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, at the project's root."""
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_DIR,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
