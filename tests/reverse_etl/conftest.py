"""Fixtures of the sync tests: every request and answer is held to the vendor's specification where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from reverse_etl.destinations.hubspot import HubSpot
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION
from tests.reverse_etl.contract import Contract, ContractTransport, load_contract
from tests.reverse_etl.engagement_world import VENDORS, Engaged
from tests.reverse_etl.engagement_world import engaged as engaged_world
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin, HubSpotWorld, hubspot_contract
from tests.reverse_etl.hubspot_world import declare as declare_hubspot
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.sendgrid_world import FILES, SPECS, SendGridTwin, SendGridWorld, declare
from tests.reverse_etl.world import TwinServer, World
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

MAILCHIMP_SPECS = ("list-id", "events", "reports")
KLAVIYO_SPECS = ("profiles", "lists", "events", "metrics")


@pytest.fixture(scope="session")
def contract(shared_dir: Callable[[str], Path]) -> Contract:
    """Mailchimp's specification with our overlay of limits that it states in prose."""
    return load_contract("mailchimp", *(shared_dir(f"specs/mailchimp/{name}.yml") for name in MAILCHIMP_SPECS))


@pytest.fixture(scope="session")
def contract_if_at_hand() -> Contract | None:
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared"))
    paths = [root / f"specs/mailchimp/{name}.yml" for name in MAILCHIMP_SPECS]
    return load_contract("mailchimp", *paths) if all(path.exists() for path in paths) else None


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


@pytest.fixture(scope="session")
def sendgrid_contract(shared_dir: Callable[[str], Path]) -> Contract:
    """SendGrid's specifications with our overlay."""
    return load_contract("sendgrid", *(shared_dir(f"specs/sendgrid/{name}") for name in SPECS))


@pytest.fixture
def sendgrid(settings: Settings, tmp_path: Path) -> Iterator[SendGridWorld]:
    """A warehouse with the sync `small`, and SendGrid's twin; held to the specifications where they are at hand."""
    with SendGridTwin(tmp_path / "sendgrid.sqlite") as twin, connect(settings, purpose="test"):
        declare(settings)
        yield SendGridWorld(settings, twin, sendgrid_transport())


def sendgrid_transport() -> ContractTransport | None:
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared")) / "specs/sendgrid"
    paths = [root / name for name in SPECS]
    if not all(path.exists() for path in paths):
        return None
    return ContractTransport(load_contract("sendgrid", *paths), outside=[FILES])


@pytest.fixture
def hubspot(settings: Settings, tmp_path: Path) -> Iterator[HubSpotWorld]:
    """A warehouse with the sync `small`, and HubSpot's twin, held to our minimal contract of the vendor's API."""
    with HubSpotTwin(tmp_path / "hubspot.sqlite") as twin, connect(settings, purpose="test"):
        declare_hubspot(settings)
        yield HubSpotWorld(settings, twin, ContractTransport(hubspot_contract()))


@pytest.fixture
def hubspot_twin(tmp_path: Path) -> Iterator[HubSpotTwin]:
    with HubSpotTwin(tmp_path / "hubspot.sqlite") as served:
        yield served


@pytest.fixture
def hubspot_target(hubspot_twin: HubSpotTwin) -> Iterator[HubSpot]:
    """The connector of HubSpot's twin, without a warehouse."""
    transport = ContractTransport(hubspot_contract())
    with closing(
        HubSpot(TOKEN, str(DEFAULT_SUBSCRIPTION), base_url=hubspot_twin.url, transport=transport, sleep=lambda _: None)
    ) as made:
        yield made


@pytest.fixture(scope="session")
def klaviyo_contract(shared_dir: Callable[[str], Path]) -> Contract:
    """Klaviyo's specifications with our overlay of limits that they state in prose."""
    paths = [shared_dir(f"specs/klaviyo/{name}.json") for name in KLAVIYO_SPECS]
    return load_contract("klaviyo", *paths)


@pytest.fixture(scope="session")
def klaviyo_contract_if_at_hand() -> Contract | None:
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared"))
    paths = [root / f"specs/klaviyo/{name}.json" for name in KLAVIYO_SPECS]
    return load_contract("klaviyo", *paths) if all(path.exists() for path in paths) else None


@pytest.fixture
def klaviyo(tmp_path: Path) -> Iterator[KlaviyoServer]:
    with KlaviyoServer(tmp_path / "klaviyo.sqlite") as server:
        yield server


@pytest.fixture
def klaviyo_world(
    settings: Settings, klaviyo: KlaviyoServer, klaviyo_contract_if_at_hand: Contract | None
) -> Iterator[KlaviyoWorld]:
    """Everything that goes out and comes back is held to the vendor's specification, where that is at hand."""
    klaviyo_declaration(settings)
    transport = ContractTransport(klaviyo_contract_if_at_hand) if klaviyo_contract_if_at_hand else None
    with connect(settings, purpose="test"):
        yield KlaviyoWorld(settings, klaviyo, transport)


@pytest.fixture
def engagement_transport(
    contract_if_at_hand: Contract | None, klaviyo_contract_if_at_hand: Contract | None
) -> Callable[[str], httpx.BaseTransport]:
    """The transport of a vendor by its name, held to its specification where that is at hand."""

    def of(kind: str) -> httpx.BaseTransport:
        if kind == "sendgrid":
            return sendgrid_transport() or httpx.HTTPTransport()
        contracts = {"mailchimp": contract_if_at_hand, "klaviyo": klaviyo_contract_if_at_hand}
        held_to = hubspot_contract() if kind == "hubspot" else contracts[kind]
        return ContractTransport(held_to) if held_to else httpx.HTTPTransport()

    return of


@pytest.fixture(params=VENDORS)
def engaged(
    request: pytest.FixtureRequest,
    settings: Settings,
    tmp_path: Path,
    engagement_transport: Callable[[str], httpx.BaseTransport],
) -> Iterator[Engaged]:
    """Each vendor's twin in turn, with a mailing that went out two days ago."""
    kind = request.param
    with (
        engaged_world(kind, settings, tmp_path / "twin.sqlite", engagement_transport(kind)) as world,
        connect(settings, purpose="test"),
    ):
        yield world
