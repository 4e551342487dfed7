"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from warehouse.settings import PROJECT_DIR, Settings


@pytest.fixture(autouse=True)
def _no_installation_leaks_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own MAILWRIGHT_* variables must not decide a test."""
    for name in list(os.environ):
        if name.startswith("MAILWRIGHT_") and name not in {"MAILWRIGHT_SHARED"}:
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation of its own, production target, in a temporary folder."""
    return Settings(home=tmp_path / "home", target="prod", lock_timeout_seconds=30)


@pytest.fixture(scope="session")
def shared_dir() -> Callable[[str], Path]:
    """`shared_dir("data/online_retail")`: a path of the shared test data, or a skip by name."""
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"skipped: no shared data ({name})")
        return path

    return find
