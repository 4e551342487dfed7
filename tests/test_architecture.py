"""The rooms and who may import whom: the contracts in pyproject.toml hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from warehouse.settings import PROJECT_DIR


def test_imports_run_one_way() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_warehouse_opens_databases() -> None:
    """`duckdb.connect` stands in one room (the sandbox writes files through databases of its own, in memory)."""
    found = [
        str(path.relative_to(PROJECT_DIR))
        for room in ("ingest", "identity", "expectations", "ml_jobs", "reverse_etl", "orchestration", "cli")
        for path in (PROJECT_DIR / room).rglob("*.py")
        if "duckdb.connect(" in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_locks_name_no_address_and_hash_everything() -> None:
    for name in ("runtime.txt", "dev.txt"):
        text = (PROJECT_DIR / "requirements" / name).read_text(encoding="utf-8")
        assert "://" not in text
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#", "-"))]
        assert len(pins) > 100
        assert all("==" in line for line in pins)
        assert text.count("==") <= text.count("--hash=sha256:")
