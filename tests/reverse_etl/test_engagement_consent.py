"""A refusal that was pulled ends mailings: from the vendor's report through the raw table to `dim_consent`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from cli.pipeline import normalize
from ingest.load import load
from tests.dbt.features_support import dbt
from tests.reverse_etl.engagement_world import NOW, SENT_AT, engaged
from warehouse.clock import Clock, set_clock
from warehouse.connection import connect
from warehouse.settings import Settings

MODELS = (
    "stg_email__events", "int_email__events", "fct_email_events", "stg_consent__events", "stg_newsletter__signups",
    "stg_esp__suppressions", "consent_purposes", "machine_rules", "machine_signatures", "fct_consent",
    "int_consent__address_states", "dim_consent",
)  # fmt: skip
PEOPLE = ("left", "spam", "hard", "soft", "opened")
OPTED_IN = """{{"consent_event_id": "c_{0}", "email": "{0}@shop.org", "channel": "email", "purpose": "newsletter", \
"state": "granted", "source": "double_opt_in", "wording_version": "v1", "evidence": null, \
"occurred_at": "2026-05-01T00:00:00Z", "received_at": "2026-05-01T00:00:00Z"}}
"""


def _people(settings: Settings, folder: Path) -> None:
    """Five people who opted in; who is who is given, and not what is tested."""
    (folder / "consent_events").mkdir(parents=True)
    lines = "".join(OPTED_IN.format(name) for name in PEOPLE)
    (folder / "consent_events" / "all.jsonl").write_text(lines, encoding="utf-8")
    load(settings, folder)
    with connect(settings, purpose="test") as con:
        set_clock(con, "analytics", Clock(NOW, NOW))
        con.execute(
            """create table analytics.int_identity__identifier_profiles (identifier_type text, identifier_value text,
               profile_id text, linked_at timestamp, first_seen_at timestamp)"""
        )
        con.execute("create table analytics.dim_profiles (profile_id text, email text)")
        for name in PEOPLE:
            email = f"{name}@shop.org"
            con.execute(
                "insert into analytics.int_identity__identifier_profiles values ('email', ?, ?, ?, ?)",
                [email, name, SENT_AT, SENT_AT],
            )
            con.execute("insert into analytics.dim_profiles values (?, ?)", [name, email])


def test_a_pulled_refusal_ends_mailings(
    one_place: Callable[[], Path], tmp_path: Path, engagement_transport: Callable[[str], httpx.BaseTransport]
) -> None:
    settings = Settings(home=one_place(), target="prod", lock_timeout_seconds=30)
    _people(settings, tmp_path / "in")
    with engaged("hubspot", settings, tmp_path / "twin.sqlite", engagement_transport("hubspot")) as world:
        world.plant("unsubscribe", "left@shop.org", 1)
        world.plant("complaint", "spam@shop.org", 2)
        world.plant("bounce", "hard@shop.org", 3)
        world.plant("bounce", "soft@shop.org", 4, type="soft")
        world.plant("open", "opened@shop.org", 5)
        world.pull()
        world.pull()
    normalize(settings)
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    dbt(settings, "build", *untested, "--select", *MODELS)
    with connect(settings, purpose="test") as con:
        facts = con.execute(
            """select identifier_value, source, scope, count(*) from analytics.fct_consent
               where state = 'suppressed' and purpose = 'newsletter' group by all order by 1"""
        ).fetchall()
        folded = con.execute(
            """select profile_id, state, reason, is_mailable from analytics.dim_consent
               where purpose = 'newsletter' order by 1"""
        ).fetchall()
    assert facts == [
        ("hard@shop.org", "hard_bounce", "address", 1),
        ("left@shop.org", "unsubscribe", "person", 1),
        ("spam@shop.org", "complaint", "person", 1),
    ]
    assert folded == [
        ("hard", "suppressed", "hard_bounce", False),
        ("left", "suppressed", "unsubscribe", False),
        ("opened", "granted", "double_opt_in", True),
        ("soft", "granted", "double_opt_in", True),
        ("spam", "suppressed", "complaint", False),
    ]
