"""Fixtures of the sync tests: every request and answer is held to the vendor's specification where it is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from reverse_etl.destinations.hubspot import HubSpot
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION
from tests.reverse_etl.contract import SPECS, Contract, ContractTransport, contract_at_hand, load_contract
from tests.reverse_etl.engagement_world import VENDORS, Engaged
from tests.reverse_etl.engagement_world import engaged as engaged_world
from tests.reverse_etl.hubspot_world import TOKEN, HubSpotTwin, HubSpotWorld
from tests.reverse_etl.hubspot_world import declare as declare_hubspot
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.sendgrid_world import FILES, SendGridTwin, SendGridWorld, declare
from tests.reverse_etl.world import TwinServer, World
from warehouse.connection import connect
from warehouse.settings import Settings


def transport_at_hand(vendor: str) -> ContractTransport | None:
    """Everything that goes out and comes back is held to the vendor's contract, where that is at hand."""
    contract = contract_at_hand(vendor)
    return ContractTransport(contract, outside=[FILES] if vendor == "sendgrid" else ()) if contract else None


def _needed(vendor: str, shared_dir: Callable[[str], Path]) -> Contract:
    return load_contract(vendor, *(shared_dir(f"specs/{name}") for name in SPECS[vendor]))


@pytest.fixture(scope="session")
def contract(shared_dir: Callable[[str], Path]) -> Contract:
    """Mailchimp's specification with our overlay of limits that it states in prose."""
    return _needed("mailchimp", shared_dir)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[TwinServer]:
    with TwinServer(tmp_path / "twin.sqlite") as server:
        yield server


@pytest.fixture
def world(settings: Settings, twin: TwinServer) -> Iterator[World]:
    """The warehouse stays open for the length of the test: DuckDB then opens further connections at once."""
    with connect(settings, purpose="test"):
        yield World(settings, twin, transport_at_hand("mailchimp"))


@pytest.fixture
def closed_world(settings: Settings, twin: TwinServer) -> World:
    """The same with the file closed between runs, as other processes need it."""
    return World(settings, twin, transport_at_hand("mailchimp"))


@pytest.fixture(scope="session")
def sendgrid_contract(shared_dir: Callable[[str], Path]) -> Contract:
    """SendGrid's specifications with our overlay."""
    return _needed("sendgrid", shared_dir)


@pytest.fixture
def sendgrid(settings: Settings, tmp_path: Path) -> Iterator[SendGridWorld]:
    """A warehouse with the sync `small`, and SendGrid's twin; held to the specifications where they are at hand."""
    with SendGridTwin(tmp_path / "sendgrid.sqlite") as twin, connect(settings, purpose="test"):
        declare(settings)
        yield SendGridWorld(settings, twin, transport_at_hand("sendgrid"))


@pytest.fixture
def hubspot(settings: Settings, tmp_path: Path) -> Iterator[HubSpotWorld]:
    """A warehouse with the sync `small`, and HubSpot's twin, held to our minimal contract of the vendor's API."""
    with HubSpotTwin(tmp_path / "hubspot.sqlite") as twin, connect(settings, purpose="test"):
        declare_hubspot(settings)
        yield HubSpotWorld(settings, twin, transport_at_hand("hubspot"))


@pytest.fixture
def hubspot_twin(tmp_path: Path) -> Iterator[HubSpotTwin]:
    with HubSpotTwin(tmp_path / "hubspot.sqlite") as served:
        yield served


@pytest.fixture
def hubspot_target(hubspot_twin: HubSpotTwin) -> Iterator[HubSpot]:
    """The connector of HubSpot's twin, without a warehouse."""
    transport = transport_at_hand("hubspot")
    with closing(
        HubSpot(TOKEN, str(DEFAULT_SUBSCRIPTION), base_url=hubspot_twin.url, transport=transport, sleep=lambda _: None)
    ) as made:
        yield made


@pytest.fixture(scope="session")
def klaviyo_contract(shared_dir: Callable[[str], Path]) -> Contract:
    """Klaviyo's specifications with our overlay of limits that they state in prose."""
    return _needed("klaviyo", shared_dir)


@pytest.fixture
def klaviyo(tmp_path: Path) -> Iterator[KlaviyoServer]:
    with KlaviyoServer(tmp_path / "klaviyo.sqlite") as server:
        yield server


@pytest.fixture
def klaviyo_world(settings: Settings, klaviyo: KlaviyoServer) -> Iterator[KlaviyoWorld]:
    """The sync `small` to Klaviyo's twin."""
    klaviyo_declaration(settings)
    with connect(settings, purpose="test"):
        yield KlaviyoWorld(settings, klaviyo, transport_at_hand("klaviyo"))


@pytest.fixture
def engagement_transport() -> Callable[[str], httpx.BaseTransport]:
    """The transport of a vendor by its name, held to its specification where that is at hand."""
    return lambda vendor: transport_at_hand(vendor) or httpx.HTTPTransport()


@pytest.fixture(params=VENDORS)
def engaged(
    request: pytest.FixtureRequest,
    settings: Settings,
    tmp_path: Path,
    engagement_transport: Callable[[str], httpx.BaseTransport],
) -> Iterator[Engaged]:
    """Each vendor's twin in turn, with a mailing that went out two days ago."""
    with (
        engaged_world(request.param, settings, tmp_path / "twin.sqlite", engagement_transport(request.param)) as world,
        connect(settings, purpose="test"),
    ):
        yield world
