"""The four built-in syncs on a store that was built by the real models: all arrives, nobody else does, then nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.reverse_etl.conftest import sendgrid_transport
from tests.reverse_etl.contract import Contract, ContractTransport
from tests.reverse_etl.hubspot_world import HubSpotTwin, HubSpotWorld, hubspot_contract
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld
from tests.reverse_etl.sendgrid_world import SendGridTwin, SendGridWorld
from tests.reverse_etl.world import TwinServer, World
from warehouse.settings import Settings

MAILABLE = {
    "mailchimp": lambda twin, email: twin.status(email) == "subscribed",
    "klaviyo": lambda twin, email: twin.consent(email) == "SUBSCRIBED",
    "sendgrid": lambda twin, email: twin.status(email) == "subscribed",
    "hubspot": lambda twin, email: twin.status(email) == "subscribed",
}


@contextmanager
def _world(kind: str, settings: Settings, state: Path, contracts: dict[str, Contract | None]) -> Iterator[Any]:
    def held(contract: Contract | None) -> ContractTransport | None:
        return ContractTransport(contract) if contract else None

    if kind == "mailchimp":
        with TwinServer(state) as twin:
            yield World(settings, twin, held(contracts[kind]), sync_name=kind)
    elif kind == "klaviyo":
        with KlaviyoServer(state) as twin:
            yield KlaviyoWorld(settings, twin, held(contracts[kind]), sync_name=kind)
    elif kind == "sendgrid":
        with SendGridTwin(state) as twin:
            yield SendGridWorld(settings, twin, sendgrid_transport(), sync_name=kind)
    else:
        with HubSpotTwin(state) as twin:
            yield HubSpotWorld(settings, twin, held(hubspot_contract()), sync_name=kind)


@pytest.mark.parametrize("kind", sorted(MAILABLE))
def test_everybody_with_evidence_arrives_and_nobody_else(
    kind: str,
    own_copy: Settings,
    tmp_path: Path,
    contract_if_at_hand: Contract | None,
    klaviyo_contract_if_at_hand: Contract | None,
) -> None:
    contracts = {"mailchimp": contract_if_at_hand, "klaviyo": klaviyo_contract_if_at_hand}
    is_mailable: Callable[[Any, str], bool] = MAILABLE[kind]
    with _world(kind, own_copy, tmp_path / "state.sqlite", contracts) as world:
        people = dict(world.rows("select email, consent_verdict from analytics.sync_esp__members"))
        wanted = {email for email, verdict in people.items() if verdict == "subscribe"}
        inside: dict[str, set[str]] = {}
        for email, segment in world.rows("select email, segment_name from analytics.sync_esp__segment_members"):
            if email in wanted:
                inside.setdefault(f"mw:{segment}", set()).add(email)
        assert len(wanted) > 100
        assert len(inside) > 5
        assert set(people.values()) == {"subscribe", "update_only", "unsubscribe"}

        first = world.sync()
        assert (first.is_complete, first.rejected, first.created) == (True, {}, len(wanted))
        assert {email for email in people if is_mailable(world.twin, email)} == wanted
        assert {name: len(world.twin.inside(name)) for name in inside} == {n: len(who) for n, who in inside.items()}
        second = world.sync()
        assert (second.writes, second.unchanged) == (0, len(wanted))
