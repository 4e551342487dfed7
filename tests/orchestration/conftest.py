"""One small store, loaded, built and synced once per session; each test gets a copy of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.home import dagster_environment
from orchestration.run import RunReport, run_job
from sandbox.config import SandboxConfig
from sandbox.generate import generate
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.orchestration.mini import AS_OF, write_mini_project
from tests.reverse_etl.world import API_KEY, TwinServer
from warehouse.build import pin_clock
from warehouse.clock import parse_instant
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

RUN = """
import sys
from orchestration.run import run_job
from warehouse.settings import load_settings
report = run_job(load_settings(), sys.argv[1])
print(report.explain())
sys.exit(0 if report.success else 1)
"""

PLACE = "mini_home"


@dataclass
class Store:
    """An installation on the mini project, with a twin of the ESP."""

    settings: Settings
    twin: TwinServer

    @property
    def esp_environment(self) -> dict[str, str]:
        return {
            "MAILCHIMP_API_KEY": API_KEY,
            "MAILCHIMP_BASE_URL": self.twin.url,
            "MAILCHIMP_LIST_ID": DEFAULT_LIST,
        }

    def run(self, job: str = "segments_refresh") -> RunReport:
        """A headless run in this process."""
        return run_job(self.settings, job)

    def start(self, job: str = "segments_refresh", **environment: str) -> subprocess.Popen[str]:
        """A headless run in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN, job],
            cwd=PROJECT_DIR,
            env={**os.environ, **dagster_environment(self.settings), **self.esp_environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings, read_only=True, purpose="test") as con:
            return con.execute(sql).fetchall()

    def land(self, table: str, sql: str, name: str = "more") -> Path:
        """Put a file with the rows of `sql` into the landing folder; `{raw}` stands for the table's first file."""
        first = self.settings.landing_dir / f"{table}.parquet"
        path = self.settings.landing_dir / table / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        with duckdb.connect() as con:
            source = sql.format(raw=f"read_parquet('{first}')")
            con.execute(f"copy ({source}) to '{path}' (format parquet)")
        return path


def _settings(home: Path, project: Path) -> Settings:
    return Settings(home=home, target="prod", dbt_project=project, lock_timeout_seconds=120)


@pytest.fixture(scope="session")
def mini_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_project(tmp_path_factory.mktemp("mini") / "project")


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory, mini_project: Path) -> Path:
    """Home of an installation after its first `segments_refresh`."""
    home = tmp_path_factory.getbasetemp() / PLACE
    settings = _settings(home, mini_project)
    generate(settings.landing_dir, SandboxConfig(n_contacts=60, n_web_events=500, months=3))
    (settings.landing_dir / "load.yml").unlink()
    shutil.rmtree(settings.landing_dir / "truth")
    pin_clock(settings, parse_instant(AS_OF))
    with pytest.MonkeyPatch.context() as patch, TwinServer(home / "twin.sqlite") as twin:
        store = Store(settings, twin)
        for name, value in store.esp_environment.items():
            patch.setenv(name, value)
        report = store.run()
    assert report.success, report.explain()
    built = home.with_name("mini_built")
    shutil.copytree(home, built)
    return built


@pytest.fixture
def store(
    built_home: Path,
    mini_project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Store]:
    """A copy of the built installation, with its ESP: where that was built, so that dbt need not parse it again."""
    home = tmp_path_factory.getbasetemp() / PLACE
    shutil.rmtree(home)
    shutil.copytree(built_home, home)
    with TwinServer(home / "twin.sqlite") as twin:
        made = Store(_settings(home, mini_project), twin)
        for name, value in made.esp_environment.items():
            monkeypatch.setenv(name, value)
        yield made
