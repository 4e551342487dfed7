"""`port`: a vendor's world for each test that asks for it, four times over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.port import Port
from tests.reverse_etl.conformance.vendors import PORTS
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that has all tables of the engine: copied, since making it takes longer than a test."""
    made = Settings(home=tmp_path_factory.mktemp("template") / "home", target="prod", lock_timeout_seconds=30)
    with connect(made, purpose="test") as con:
        ensure_state(con, made)
    return made.home


def from_template(template: Path, home: Path) -> Settings:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)
    return Settings(home=home, target="prod", lock_timeout_seconds=30, threads=1)


@pytest.fixture(params=VENDORS)
def port(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Iterator[Port]:
    """An empty account, a warehouse, and the sync `small` between them; the file stays open, which is faster."""
    installation = from_template(template, tmp_path / "home")
    made = PORTS[request.param].make(installation)
    made.declare()
    with made.twin.in_process(), connect(installation, purpose="test"):
        yield made
