"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from warehouse.settings import PROJECT_DIR, Settings

PARSED = "partial_parse.msgpack"

# nobody reads the log file of a test's dbt, and writing it takes time
os.environ.setdefault("DBT_LOG_LEVEL_FILE", "none")

# started in the background by a shell, this process ignores interrupts, and so would every process that a test starts
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start what a user starts come first: in parallel, none of them is left over at the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


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


def _full_refresh(settings: Settings) -> None:
    from cli import pipeline
    from ml_jobs.catalogue import JOBS
    from sandbox.config import SandboxConfig
    from sandbox.generate import generate

    store = generate(settings.home / "files", SandboxConfig(n_contacts=800, n_web_events=30_000))
    pipeline.load_files(settings, store.manifest_path)
    pipeline.load_truth(settings, store.out_dir)
    pipeline.check_loads(settings)
    pipeline.pin(settings, store.as_of)
    pipeline.normalize(settings)
    pipeline.build_models(settings, "before_ml")
    for job in JOBS:
        pipeline.train(settings, job)
    pipeline.build_models(settings, "after_ml")
    pipeline.check_activation(settings)


@pytest.fixture(scope="session")
def built_settings(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Settings:
    """The small store after a full refresh: loaded, checked, built, trained and scored, ready to sync.

    Built once for the whole run, whichever worker comes first: whoever writes takes `own_copy`.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    settings = Settings(home=shared / "built", target="prod", lock_timeout_seconds=60)
    with FileLock(shared / "built.lock"):
        done = settings.home / "complete"
        if not done.exists():
            shutil.rmtree(settings.home, ignore_errors=True)
            _full_refresh(settings)
            done.touch()
    return settings


@pytest.fixture(scope="session")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """The home in which this worker's tests build, emptied by each call.

    What dbt has parsed stays: it parses the project again for a warehouse of another path.
    """
    home = tmp_path_factory.getbasetemp() / "one_place"

    def emptied() -> Path:
        empty_but_for_what_dbt_parsed(home)
        return home

    return emptied


def empty_but_for_what_dbt_parsed(home: Path) -> None:
    home.mkdir(exist_ok=True)
    for path in sorted(home.rglob("*"), reverse=True):
        if not path.is_dir():
            if path.name != PARSED:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


@pytest.fixture
def own_copy(built_settings: Settings, one_place: Callable[[], Path]) -> Settings:
    """A copy of the built store that a test may change."""
    home = one_place()
    shutil.copytree(built_settings.home, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns(PARSED))
    return built_settings.model_copy(update={"home": home})
