"""Fixtures of the sync tests: every request and answer is held to the vendor's specification where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reverse_etl.contract import Contract, ContractTransport, load_contract
from tests.reverse_etl.world import TwinServer, World
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings


@pytest.fixture(scope="session")
def contract(shared_dir: Callable[[str], Path]) -> Contract:
    """Mailchimp's specification with our overlay of limits that it states in prose."""
    return load_contract(shared_dir("specs/mailchimp/list-id.yml"))


@pytest.fixture(scope="session")
def contract_if_at_hand() -> Contract | None:
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared"))
    path = root / "specs/mailchimp/list-id.yml"
    return load_contract(path) if path.exists() else None


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[TwinServer]:
    with TwinServer(tmp_path / "twin.sqlite") as server:
        yield server


@pytest.fixture
def world(settings: Settings, twin: TwinServer, contract_if_at_hand: Contract | None) -> Iterator[World]:
    """The warehouse stays open for the length of the test: DuckDB then opens further connections at once."""
    transport = ContractTransport(contract_if_at_hand) if contract_if_at_hand else None
    with connect(settings, purpose="test"):
        yield World(settings, twin, transport)


@pytest.fixture
def closed_world(settings: Settings, twin: TwinServer, contract_if_at_hand: Contract | None) -> World:
    """The same with the file closed between runs, as other processes need it."""
    return World(settings, twin, ContractTransport(contract_if_at_hand) if contract_if_at_hand else None)
