"""The four built-in syncs on a store that was built by the real models: all arrives, nobody else does, then nothing."""

from __future__ import annotations

import pytest

from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.vendors import PORTS
from warehouse.settings import Settings


@pytest.mark.parametrize("vendor", VENDORS)
def test_everybody_with_evidence_arrives_and_nobody_else(vendor: str, own_copy: Settings) -> None:
    port = PORTS[vendor].make(own_copy)
    port.world.sync_name = vendor
    people = dict(port.rows("select email, consent_verdict from analytics.sync_esp__members"))
    wanted = {email for email, verdict in people.items() if verdict == "subscribe"}
    inside: dict[str, set[str]] = {}
    for email, segment in port.rows("select email, segment_name from analytics.sync_esp__segment_members"):
        if email in wanted:
            inside.setdefault(f"mw:{segment}", set()).add(email)
    assert len(wanted) > 100
    assert len(inside) > 5
    assert set(people.values()) == {"subscribe", "update_only", "unsubscribe"}

    with port.twin.in_process():
        first = port.sync()
        assert (first.is_complete, first.rejected, first.created) == (True, {}, len(wanted))
        assert {email for email in people if port.status(email) == "subscribed"} == wanted
        assert {segment: port.inside(segment) for segment in inside} == inside
        second = port.sync()
        assert (second.writes, second.unchanged) == (0, len(wanted))
